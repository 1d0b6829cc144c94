"""Text of the source, copied as bytes; text of ours, fitted to its character set.

No validator notices a ruined name, so nothing that came from the source is decoded
unless it must be: its bytes travel under its own SpecificCharacterSet (PS3.3
C.12.1.1.2, PS3.5 section 6.1).
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Iterator
from copy import deepcopy
from functools import cache

from pydicom.charset import (
    convert_encodings,
    decode_bytes,
    default_encoding,
    python_encoding,
)
from pydicom.datadict import dictionary_VR, tag_for_keyword
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_data_element
from pydicom.multival import MultiValue
from pydicom.sequence import Sequence
from pydicom.tag import BaseTag, Tag
from pydicom.valuerep import CUSTOMIZABLE_CHARSET_VR, PN_DELIMS, TEXT_VR_DELIMS

UNICODE = "ISO_IR 192"
_CHARSET = Tag("SpecificCharacterSet")
# A character string has the same bytes in every byte order (PS3.5 section 7.3).
_STRINGS = frozenset(
    "AE AS CS DA DS DT IS LO LT PN SH ST TM UC UI UR UT".split()  # noqa: SIM905
)
_SHORT_HEADER_BYTES = 8
# Encodings of ours that take more than the character set they stand for allows.
_ESCAPE = b"\x1b"
_LAX = frozenset({"", "ISO_IR 6", "ISO_IR 13"})


def copy_elements(source: Dataset, target: Dataset, keywords: Iterable[str]) -> None:
    """Copy the elements that ``source`` has, byte for byte; private ones never."""
    for keyword in keywords:
        _copy_element(source, target, _tag(keyword), _charset(source))


def text_of(dataset: Dataset, keyword: str) -> str:
    """The value as plain text for comparing; empty when absent. Changes nothing."""
    tag = _tag(keyword)
    value = dataset.get_item(tag).value if tag in dataset else None
    if value is None:
        return ""
    if isinstance(value, bytes):
        return value.decode("latin-1").strip(" \0")
    if isinstance(value, MultiValue):
        return "\\".join(str(one) for one in value)
    return str(value).strip(" \0")


def has_value(dataset: Dataset, keyword: str) -> bool:
    """Whether an element is there and not empty. Changes nothing."""
    tag = _tag(keyword)
    if tag not in dataset:
        return False
    element: DataElement | RawDataElement = dataset.get_item(tag)
    if isinstance(element, RawDataElement):
        value = element.value or b""
        return bool(value.strip(b" \0") if element.VR in _STRINGS else value)
    return not element.is_empty


def state(dataset: Dataset, **texts: str) -> None:
    """Set elements of ours; what is ASCII as bytes, the same in every character set.

    pydicom takes three times as long to make an element of a value and bytes of that.
    """
    for keyword, text in texts.items():
        if text.isascii():
            tag = _tag(keyword)
            dataset[tag] = _raw(tag, dictionary_VR(tag), text.encode())
        else:
            setattr(dataset, keyword, text)


def copy_item(source: Dataset, charset: str | list[str]) -> Dataset:
    """A deep copy of a sequence item without private elements, strings as bytes."""
    item = Dataset()
    inherited = _charset(source) or charset
    for tag in tuple(source.keys()):
        if not tag.is_private:
            _copy_element(source, item, tag, inherited)
    return item


def charset_of(dataset: Dataset) -> str | list[str]:
    """SpecificCharacterSet as pydicom takes it; empty when absent."""
    return _charset(dataset)


def settle(dataset: Dataset) -> bool:
    """Make all text of a finished object fit one character set.

    The source's stays when our text fits it. Else everything becomes ISO_IR 192. If
    the source's bytes cannot be decoded (none declared, or wrongly), they stay as they
    are and our text becomes ASCII: False, for that may have cost us words.
    """
    charset, whole = _charset(dataset), True
    if not all(_fits(text, charset) for text in _own_texts(dataset)):
        copied = list(_copied_texts(dataset, charset))
        if all("\ufffd" not in text for *_, text in copied):
            _to_unicode(dataset, copied)
        else:
            _to_ascii(dataset)
            whole = False
    keep_bytes(dataset)
    return whole


def is_plain(dataset: Dataset) -> bool:
    """Whether all its text is ASCII: the same bytes in every character set."""
    return all(
        _is_ascii(element.value)
        for _, element, _ in _elements(dataset, "")
        if element.VR in CUSTOMIZABLE_CHARSET_VR
    )


def _is_ascii(value: object) -> bool:
    if isinstance(value, bytes):
        return value.isascii() and _ESCAPE not in value
    return value is None or str(value).isascii()


def _copy_element(
    source: Dataset, target: Dataset, tag: BaseTag, charset: str | list[str]
) -> None:
    if tag not in source:
        return
    element = source.get_item(tag)
    vr = _vr(element)
    if vr == "SQ":
        items = [copy_item(item, charset) for item in source[tag].value]
        target[tag] = DataElement(tag, "SQ", Sequence(items))
    elif vr in _STRINGS:
        target[tag] = _raw(tag, vr, _bytes(element, charset))
    elif vr:
        target[tag] = deepcopy(source[tag])


def _vr(element: DataElement | RawDataElement) -> str:
    if element.VR and element.VR != "UN":
        return str(element.VR)
    try:
        return dictionary_VR(element.tag)
    except KeyError:
        return ""


def _bytes(element: DataElement | RawDataElement, charset: str | list[str]) -> bytes:
    if isinstance(element, RawDataElement):
        return element.value or b""
    buffer = DicomBytesIO()
    buffer.is_little_endian = buffer.is_implicit_VR = True
    write_data_element(buffer, element, charset or default_encoding)
    return buffer.getvalue()[_SHORT_HEADER_BYTES:]


def _raw(tag: BaseTag, vr: str, value: bytes) -> RawDataElement:
    if vr == "UI":
        value = value.rstrip(b" \0")
    if len(value) % 2:
        value += b"\0" if vr == "UI" else b" "
    return RawDataElement(tag, vr, len(value), value, 0, False, True)


@cache
def _tag(keyword: str) -> BaseTag:
    number = tag_for_keyword(keyword)
    if number is None:
        raise KeyError(keyword)
    return BaseTag(number)


def _charset(dataset: Dataset) -> str | list[str]:
    value = dataset.get("SpecificCharacterSet", "")
    return value or "" if isinstance(value, str) else list(value or ())


def _elements(
    dataset: Dataset, charset: str | list[str]
) -> Iterator[tuple[Dataset, DataElement | RawDataElement, str | list[str]]]:
    charset = _charset(dataset) or charset
    for tag in list(dataset.keys()):
        element = dataset.get_item(tag)
        if element.VR != "SQ":
            yield dataset, element, charset
        elif not _is_encoded(element):
            for item in element.value or ():
                yield from _elements(item, charset)


def _is_encoded(sequence: DataElement | RawDataElement) -> bool:
    """As it is to be written, all of it ASCII: see `results.content`."""
    return isinstance(sequence.value, bytes)


def _own_texts(dataset: Dataset) -> Iterator[str]:
    for _, element, _ in _elements(dataset, ""):
        if isinstance(element, DataElement) and element.VR in CUSTOMIZABLE_CHARSET_VR:
            yield str(element.value)


def _fits(text: str, charset: str | list[str]) -> bool:
    if text.isascii():
        return True
    if not isinstance(charset, str) or charset in _LAX:
        return False
    try:
        text.encode(python_encoding[charset])
    except (KeyError, UnicodeEncodeError):
        return False
    return True


def _copied_texts(
    dataset: Dataset, charset: str | list[str]
) -> Iterator[tuple[Dataset, RawDataElement, str]]:
    for holder, element, inherited in _elements(dataset, charset):
        if isinstance(element, RawDataElement) and element.VR in (
            CUSTOMIZABLE_CHARSET_VR
        ):
            yield holder, element, _decoded(element, inherited)


def _decoded(element: RawDataElement, charset: str | list[str]) -> str:
    value = element.value or b""
    if value.isascii() and _ESCAPE not in value:
        return value.decode("ascii")
    if not charset:
        return "\ufffd"
    delimiters = {*PN_DELIMS, ord("=")} if element.VR == "PN" else TEXT_VR_DELIMS
    return decode_bytes(value, convert_encodings(charset), delimiters)


def _to_unicode(
    dataset: Dataset, copied: Iterable[tuple[Dataset, RawDataElement, str]]
) -> None:
    for holder, element, text in copied:
        holder[element.tag] = _raw(element.tag, str(element.VR), text.encode())
        if holder is not dataset and _CHARSET in holder:
            del holder[_CHARSET]
    dataset.SpecificCharacterSet = UNICODE


def _to_ascii(dataset: Dataset) -> None:
    for holder, element, _ in _elements(dataset, ""):
        if isinstance(element, DataElement) and element.VR in CUSTOMIZABLE_CHARSET_VR:
            plain = unicodedata.normalize("NFKD", str(element.value))
            kept = "".join(one for one in plain if not unicodedata.combining(one))
            text = kept.encode("ascii", "replace").decode("ascii")
            holder[element.tag] = DataElement(element.tag, element.VR, text)


def keep_bytes(dataset: Dataset) -> None:
    """Have elements that are bytes written as these bytes.

    pydicom does so only in a data set that it takes for unchanged.
    """
    charset = _charset(dataset)
    known = convert_encodings(charset) if charset else default_encoding
    dataset.set_original_encoding(False, True, known)
    for tag in list(dataset.keys()):
        element = dataset.get_item(tag)
        if element.VR == "SQ" and not _is_encoded(element):
            for item in element.value or ():
                keep_bytes(item)
