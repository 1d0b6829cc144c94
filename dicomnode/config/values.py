"""The kinds of value a key may hold, each with a message that says what to write."""

from __future__ import annotations

import ipaddress
import math
import re
from collections.abc import Mapping, Sequence
from datetime import time
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    PlainValidator,
    SecretStr,
    ValidationInfo,
)

from dicomnode.domain import silence
from dicomnode.domain.instance import ROUTING_KEYWORDS

_AE_TITLE_LENGTH = 16
_TERMS = ("not", "min", "max")
# Values of these representations are no text to compare with (PS3.5 6.2).
_NOT_TEXT = frozenset({"SQ", "OB", "OW", "OF", "OD", "OL", "OV", "UN", "OB or OW"})
_SCHEMES = ("sqlite", "postgresql")


def ae_title(text: str) -> str:
    """An application entity title (PS3.5 6.2, VR AE), without its outer spaces."""
    title = text.strip(" ")
    if not title:
        raise ValueError("is empty; write 1 to 16 characters")
    if len(title) > _AE_TITLE_LENGTH:
        message = (
            f"has {len(title)} characters; shorten it to at most 16 (PS3.5 6.2), "
            f"for example {title[:_AE_TITLE_LENGTH].strip()!r}"
        )
        raise ValueError(message)
    if not (title.isascii() and title.isprintable()) or "\\" in title:
        message = (
            "holds a backslash, a control character or a letter beyond ASCII "
            "(PS3.5 6.2); use A to Z, 0 to 9, space, '_' and '-'"
        )
        raise ValueError(message)
    return title


def host_name(text: str) -> str:
    """An address or host name, without port."""
    host = text.strip()
    if not host or any(letter.isspace() for letter in host) or "/" in host:
        raise ValueError("is no address; write an IP address or a host name")
    return host


HASHED = re.compile(r"scrypt:[A-Za-z0-9+/]{22}==:[A-Za-z0-9+/]{43}=")
"""``scrypt:SALT:KEY`` in base64, of 16 and 32 bytes."""


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches an address; a name is taken as it sounds."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def network(text: str) -> str:
    """An address or a network, without host bits."""
    try:
        return str(ipaddress.ip_network(text.strip(), strict=False))
    except ValueError:
        message = 'is no address and no network; write "10.1.2.3" or "10.1.0.0/16"'
        raise ValueError(message) from None


def optional_host(text: str) -> str:
    """Empty, or an address or host name."""
    return text and host_name(text)


def peer_host(text: str) -> str:
    """An address, a network such as 10.1.0.0/16, or a host name."""
    if "/" not in text:
        return host_name(text)
    try:
        return str(ipaddress.ip_network(text.strip()))
    except ValueError as error:
        message = f"is no network: {error}; write for example 10.1.0.0/16"
        raise ValueError(message) from None


def plain_name(text: str) -> str:
    """A name that may be a folder's name too."""
    letters = text.replace("-", "").replace("_", "").replace(".", "")
    if not letters.isalnum() or not text.isascii() or text.startswith("."):
        message = "is no name; use letters, digits, '-', '_', '.', for example cxr-qc"
        raise ValueError(message)
    return text


def optional_name(text: str) -> str:
    """Empty, or the name of another table."""
    return text and plain_name(text)


def database_url(text: str) -> str:
    """Empty, or what SQLAlchemy can open; never repeated in a message."""
    scheme = text.split(":", 1)[0].split("+", 1)[0]
    if text and (scheme not in _SCHEMES or "://" not in text):
        message = (
            "is no database we know; write sqlite:////absolute/path/worklist.db or "
            "postgresql+psycopg://user@host/name, or leave it empty for SQLite in "
            "node.data_dir"
        )
        raise ValueError(message)
    return text


def store_url(text: str, info: ValidationInfo) -> str:
    """Empty, an absolute folder, or s3://bucket/prefix without credentials."""
    if "://" not in text:
        return str(_absolute(Path(text), info)) if text else ""
    parts = urlsplit(text)
    if "@" in parts.netloc:
        message = (
            "must not hold credentials; give them as AWS_ACCESS_KEY_ID and "
            "AWS_SECRET_ACCESS_KEY in the environment, or in a credential file"
        )
        raise ValueError(message)
    if parts.scheme != "s3" or not parts.netloc or parts.query or parts.fragment:
        raise ValueError("is no store we know; write a folder or s3://bucket/prefix")
    return text.rstrip("/")


def server_url(text: str) -> str:
    """Empty, or the address of an object store without credentials."""
    parts = urlsplit(text)
    if text and (parts.scheme not in {"https", "http"} or not parts.hostname):
        raise ValueError("is no server; write https://host:port")
    if "@" in parts.netloc:
        raise ValueError("must not hold credentials; leave out what is before the @")
    return text


def dicomweb_url(text: str) -> str:
    """Empty, or the base address of a DICOMweb service, without credentials."""
    parts = urlsplit(text)
    if text and (parts.scheme not in {"https", "http"} or not parts.hostname):
        raise ValueError("is no address; write https://host:port/dicom-web")
    if "@" in parts.netloc or parts.query or parts.fragment:
        message = (
            "must hold neither credentials nor a query; use dicomweb_user and "
            "dicomweb_password, or dicomweb_token"
        )
        raise ValueError(message)
    return text.rstrip("/")


def goes_in_the_clear(url: str) -> bool:
    """Whether others on the network can read what is sent to this address."""
    parts = urlsplit(url)
    return parts.scheme == "http" and not is_loopback(parts.hostname or "")


def device(text: str) -> str:
    """auto, cpu, cuda or cuda:N."""
    kind, _, index = text.partition(":")
    if text in {"auto", "cpu", "cuda"} or (kind == "cuda" and index.isdecimal()):
        return text
    raise ValueError("is no device; use auto, cpu, cuda or cuda:1")


def keyword(text: str) -> str:
    """A DICOM keyword (PS3.6) whose value is text or a number."""
    if text in ROUTING_KEYWORDS:
        return text
    # The dictionary costs most of a second, and only unusual keywords need it.
    from pydicom.datadict import dictionary_VR, keyword_dict  # noqa: PLC0415

    tag = keyword_dict.get(text)
    if tag is None:
        near = get_close_matches(text, [*ROUTING_KEYWORDS, *keyword_dict], n=1)
        hint = f"did you mean {near[0]}?" if near else "see PS3.6 for the keywords"
        raise ValueError(f"is no DICOM keyword; {hint}")
    if dictionary_VR(tag) in _NOT_TEXT:
        message = "holds no text to compare with; match another attribute"
        raise ValueError(message)
    return text


def condition(value: object) -> object:
    """One condition of a match table; lists become tuples."""
    if isinstance(value, Mapping):
        return _terms(value)
    return _one_or_any(value)


def _terms(terms: Mapping[str, object]) -> Mapping[str, object]:
    unknown = sorted(set(terms) - set(_TERMS))
    if unknown or not terms:
        found = ", ".join(map(repr, unknown)) or "nothing"
        message = f"holds {found}; write {{ not = ... }} or {{ min = ..., max = ... }}"
        raise ValueError(message)
    limits = {term: _number(terms[term]) for term in ("min", "max") if term in terms}
    if limits.get("min", -math.inf) > limits.get("max", math.inf):
        raise ValueError("has a min above its max; exchange them")
    unwanted = {"not": _one_or_any(terms["not"])} if "not" in terms else {}
    return {**unwanted, **limits}


def _one_or_any(value: object) -> object:
    if isinstance(value, Sequence) and not isinstance(value, str):
        if not value:
            raise ValueError("is an empty list and matches nothing; name a value")
        return tuple(_scalar(item) for item in value)
    return _scalar(value)


def _scalar(value: object) -> str | int | float:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        message = "must be a text, a number, a list of these, or { not/min/max = ... }"
        raise ValueError(message)  # noqa: TRY004  # pydantic collects ValueErrors
    return value


def _number(value: object) -> int | float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError("min and max must be numbers; write them without quotes")  # noqa: TRY004  # as above
    return value


MASK = "***"
"""What is shown instead of a secret."""


def unmasked(secret: SecretStr) -> SecretStr:
    """Refuse what `config show` prints: nobody means it."""
    if MASK in secret.get_secret_value():
        message = (
            "is the mask that `config show` prints, not a secret; write the secret "
            "here, or leave the key out and give it by a credential or the environment"
        )
        raise ValueError(message)
    return secret


def time_of_day(text: str) -> str:
    """Empty, or hour and minute as 02:30."""
    try:
        given = text and time.fromisoformat(text).strftime("%H:%M")
    except ValueError:
        given = None
    if given != text:
        raise ValueError("is no time of day; write hour and minute, for example 02:30")
    return text


def working_hours(text: str) -> str:
    """Empty, or such as mon-fri 07:00-19:00."""
    silence.parsed(text)
    return text


def _absolute(path: Path, info: ValidationInfo) -> Path:
    folder = (info.context or {}).get("folder") or Path.cwd()
    return Path(folder) / path.expanduser()


def _absent_if_empty(value: object) -> object:
    return None if value == "" else value


def _absent_if_zero(value: object) -> object:
    return None if value in (0, "0") and value is not False else value


def _as_list(value: object) -> object:
    return [value] if isinstance(value, str) else value


Secret = Annotated[SecretStr, AfterValidator(unmasked)]
AETitle = Annotated[str, AfterValidator(ae_title)]
OptionalAETitle = Annotated[
    str, AfterValidator(lambda text: ae_title(text) if text else text)
]
Host = Annotated[str, AfterValidator(host_name)]
OptionalHost = Annotated[str, AfterValidator(optional_host)]
PeerHost = Annotated[str, AfterValidator(peer_host)]
Network = Annotated[str, AfterValidator(network)]
Name = Annotated[str, AfterValidator(plain_name)]
OptionalName = Annotated[str, AfterValidator(optional_name)]
Port = Annotated[int, Field(ge=0, le=65535)]
OptionalPort = Annotated[int, Field(ge=0, le=65535)]
RemotePort = Annotated[int, Field(ge=1, le=65535)]
Count = Annotated[int, Field(ge=1)]
OptionalCount = Annotated[
    Annotated[int, Field(ge=1)] | None, BeforeValidator(_absent_if_zero)
]
Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]
OptionalSeconds = Annotated[
    Annotated[float, Field(gt=0, allow_inf_nan=False)] | None,
    BeforeValidator(_absent_if_zero),
]
Days = Annotated[float, Field(ge=0, le=36_500, allow_inf_nan=False)]
Percent = Annotated[float, Field(gt=0, le=100)]
Folder = Annotated[Path, AfterValidator(_absolute)]
OptionalFile = Annotated[
    Annotated[Path, AfterValidator(_absolute)] | None, BeforeValidator(_absent_if_empty)
]
Keyword = Annotated[str, AfterValidator(keyword)]
AnyCondition = Annotated[object, PlainValidator(condition)]
Device = Annotated[str, AfterValidator(device)]
StoreUrl = Annotated[str, AfterValidator(store_url)]
DicomwebUrl = Annotated[str, AfterValidator(dicomweb_url)]
WorkingHours = Annotated[str, AfterValidator(working_hours)]
TimeOfDay = Annotated[str, AfterValidator(time_of_day)]
Presences = Annotated[
    tuple[Literal["PRESENT", "ABSENT", "UNDETERMINED"], ...],
    BeforeValidator(_as_list),
    Field(min_length=1),
]
