"""The configuration in force, as TOML for people; passwords masked."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo

from dicomnode.config.loading import origin
from dicomnode.config.models import Config
from dicomnode.config.values import MASK

_PASSWORD = re.compile(r"(?<=://)([^:/@]*):.*(?=@)|(?<=password=)[^&]*")
# The path of a webhook may be its token.
_WEB = ("http", "https")
# The suffixes of the numbers that may be absent, which TOML has no word for.
_ZERO_IF_ABSENT = ("_seconds", "_series", "_instances")


def masked(url: str) -> str:
    """A database URL without its password."""
    return _PASSWORD.sub(lambda found: f"{found[1]}:***" if found[1] else "***", url)


@dataclass(frozen=True, slots=True)
class Shown:
    """One key in force: ``header`` as in TOML, ``value`` as TOML text.

    ``table`` tells tables of one array apart: ``peer[1]``, ``peer[2]``.
    """

    header: str
    table: str
    key: str
    value: str
    origin: str


def shown(config: Config) -> Iterator[Shown]:
    """Every key in force with its origin, ``default`` where nobody wrote one."""
    origins = origin(config)
    for name in type(config).model_fields:
        value = getattr(config, name)
        if isinstance(value, tuple):
            for number, table in enumerate(value, start=1):
                yield from _keys(table, f"[[{name}]]", f"{name}[{number}]", origins)
        else:
            yield from _keys(value, f"[{name}]", name, origins)


def _keys(
    table: BaseModel, header: str, prefix: str, origins: Mapping[str, str]
) -> Iterator[Shown]:
    below: dict[str, BaseModel] = {}
    arrays: dict[str, tuple[BaseModel, ...]] = {}
    for key, field in type(table).model_fields.items():
        value = getattr(table, key)
        if isinstance(value, BaseModel):
            below[key] = value
        elif is_array(field):
            arrays[key] = value
        else:
            place = _nearest(f"{prefix}.{key}", origins)
            if value is None and key.endswith(_ZERO_IF_ABSENT):
                value = 0
            yield Shown(header, prefix, key, _toml(value), place)
    for key, nested in below.items():
        yield from _keys(nested, f"[{prefix}.{key}]", f"{prefix}.{key}", origins)
    for key, tables in arrays.items():
        name = f"{prefix}.{key}"
        for number, one in enumerate(tables, start=1):
            yield from _keys(one, f"[[{name}]]", f"{name}[{number}]", origins)


def is_array(field: FieldInfo) -> bool:
    """Whether a key is an array of tables, such as ``[[retention.rule]]``."""
    return any(
        isinstance(one, type) and issubclass(one, BaseModel)
        for one in get_args(field.annotation)
    )


def _nearest(key: str, origins: Mapping[str, str]) -> str:
    below = (place for known, place in origins.items() if known.startswith(f"{key}."))
    return origins.get(key) or next(below, "default")


def _hidden(secret: str) -> str:
    """Of a URL what is no secret; of any other secret only whether there is one."""
    scheme, found, rest = secret.partition("://")
    if found and scheme in _WEB:
        return f"{scheme}://{rest.partition('/')[0]}/***"
    return masked(secret) if "://" in secret else MASK * bool(secret)


def _toml(value: object) -> str:
    if isinstance(value, SecretStr):
        return json.dumps(_hidden(value.get_secret_value()))
    if value is None or isinstance(value, str | Path):
        return json.dumps("" if value is None else str(value), ensure_ascii=False)
    if isinstance(value, Mapping):
        pairs = ", ".join(f"{key} = {_toml(item)}" for key, item in value.items())
        return f"{{ {pairs} }}" if pairs else "{}"
    if isinstance(value, tuple):
        return f"[{', '.join(map(_toml, value))}]"
    return json.dumps(value)
