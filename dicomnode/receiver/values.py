"""Element values as text: character sets (PS3.5 6.1) and numbers (PS3.5 6.2)."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from functools import lru_cache

from pydicom.charset import convert_encodings, decode_bytes, python_encoding
from pydicom.valuerep import PN_DELIMS, TEXT_VR_DELIMS

_DEFAULT = "ISO_IR 6"
_MAX_TERMS = 16
_SHORT_BYTES = 64
_NUMBERS = {
    "US": "H",
    "SS": "h",
    "US or SS": "H",
    "UL": "I",
    "SL": "i",
    "UV": "Q",
    "SV": "q",
    "FL": "f",
    "FD": "d",
}
# Of these the Specific Character Set does not speak (PS3.5 6.1.2.3).
_PLAIN = {"AE", "AS", "CS", "DA", "DS", "DT", "IS", "TM", "UI", "UR"}
_CODED = {"LO", "LT", "PN", "SH", "ST", "UC", "UT"}
_SINGLE = {"LT", "ST", "UR", "UT"}


@lru_cache(maxsize=64)
def encodings(specific_character_set: str) -> tuple[str, ...]:
    """The Python encodings for a value of Specific Character Set (0008,0005).

    Common misspellings are understood, anything unknown is read as ISO-IR 6.
    """
    terms = specific_character_set.split("\\")[:_MAX_TERMS]
    return tuple(convert_encodings([_term(term) for term in terms]))


def text(
    vr: str, raw: bytes, order: str, encodings: tuple[str, ...]
) -> str | tuple[str, ...]:
    """A value as text, several as a tuple; empty when it has none or is unreadable.

    ``order``: of bytes, ``<`` or ``>``.
    """
    # The instances of a series repeat nearly all of their values.
    read = _remembered if len(raw) <= _SHORT_BYTES else _text
    return read(vr, raw, order, encodings)


def _text(
    vr: str, raw: bytes, order: str, encodings: tuple[str, ...]
) -> str | tuple[str, ...]:
    if vr in _NUMBERS:
        return _joined(_numbers(_NUMBERS[vr], raw, order))
    if vr in _PLAIN:
        decoded = raw.decode("latin-1")
    elif vr in _CODED:
        decoded = _decoded(vr, raw, encodings)
    else:
        return ""
    # NUL is padding (UI) or a mistake, and no database takes it within a text.
    decoded = decoded.replace("\0", "")
    parts = [decoded] if vr in _SINGLE else decoded.split("\\")
    return _joined([part.strip() for part in parts])


_remembered = lru_cache(maxsize=2048)(_text)


def _joined(parts: Sequence[str]) -> str | tuple[str, ...]:
    if not any(parts):
        return ""
    return parts[0] if len(parts) == 1 else tuple(parts)


def _numbers(form: str, raw: bytes, order: str) -> list[str]:
    try:
        return [str(number) for (number,) in struct.iter_unpack(order + form, raw)]
    except struct.error:
        return []


def _decoded(vr: str, raw: bytes, encodings: Sequence[str]) -> str:
    if vr != "PN":
        return decode_bytes(raw, encodings, TEXT_VR_DELIMS)
    # PS3.5 6.2.1.1: each component group starts again with the first encoding.
    groups = (decode_bytes(group, encodings, PN_DELIMS) for group in raw.split(b"="))
    return "=".join(group.strip(" \0") for group in groups).rstrip("=")


def _term(written: str) -> str:
    """A Defined Term of PS3.3 C.12.1.1.2, or the default for what is none.

    What is none never reaches the library, which would take it for a codec of Python.
    """
    term = written.strip(" \0").upper().replace("-", " ").replace("_", " ")
    if term.startswith("UTF"):
        return "ISO_IR 192"
    term = term.replace("ISO IR", "ISO_IR", 1)
    return term if term in python_encoding else _DEFAULT
