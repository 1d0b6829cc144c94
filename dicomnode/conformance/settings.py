"""Configuration parameters, security profiles and audit messages."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from pydantic import BaseModel, SecretStr

from dicomnode.audit import codes as audit_codes
from dicomnode.config import Config, Destination, Peer, Pipeline, RetentionRule
from dicomnode.conformance.markdown import code, table
from dicomnode.tls import SUITES

_ARRAYS: dict[str, type[BaseModel]] = {
    "peer": Peer,
    "pipeline": Pipeline,
    "destination": Destination,
    "retention.rule": RetentionRule,
}
_OTHER = {"account"}
_SOMETIMES = {
    f"destination.{key}": "needed, unless it is only read by DICOMweb"
    for key in ("ae_title", "host", "port")
}


def parameters(config: Config) -> str:
    """Every key of the configuration with its value."""
    rows = [*_keys(config), *(row for name in _ARRAYS for row in _array(name))]
    return table(("Key", "Value"), rows)


def _keys(model: BaseModel, prefix: str = "") -> Iterator[tuple[str, str]]:
    for name in type(model).model_fields:
        value = getattr(model, name)
        if isinstance(value, BaseModel):
            yield from _keys(value, f"{prefix}{name}.")
        elif f"{prefix}{name}" not in _ARRAYS and name not in _OTHER:
            yield f"{prefix}{name}", _shown(name, value)


def _array(name: str) -> Iterator[tuple[str, str]]:
    for key, field in _ARRAYS[name].model_fields.items():
        shown = "needed" if field.is_required() else _shown(key, field.default)
        yield f"[[{name}]] {key}", _SOMETIMES.get(f"{name}.{key}", shown)


def _shown(name: str, value: Any) -> str:
    if isinstance(value, SecretStr):
        return '"********"' if value.get_secret_value() else '""'
    if name == "data_dir":
        # The default is relative to the folder of the configuration.
        return json.dumps(Path(value).name)
    if value is None:
        return "not set"
    return json.dumps(_plain(value), default=str)


def _plain(value: Any) -> Any:
    """60.0 as 60, as the configuration writes it."""
    if isinstance(value, tuple):
        return [_plain(one) for one in value]
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value


def suites(config: Config) -> str:
    """Cipher suites of TLS, by version."""
    del config
    rows = [("TLS 1.3", "every suite of TLS 1.3 that the installed OpenSSL enables")]
    rows += [("TLS 1.2", one) for one in SUITES]
    return table(("Protocol", "Cipher suite"), rows)


_EVENTS = (
    audit_codes.APPLICATION_ACTIVITY,
    audit_codes.AUDIT_LOG_USED,
    audit_codes.BEGIN_TRANSFERRING,
    audit_codes.INSTANCES_ACCESSED,
    audit_codes.INSTANCES_TRANSFERRED,
    audit_codes.STUDY_DELETED,
    audit_codes.EXPORT,
    audit_codes.NETWORK_ENTRY,
    audit_codes.SECURITY_ALERT,
    audit_codes.USER_AUTHENTICATION,
)


def audit_events(config: Config) -> str:
    """The audit messages that are written."""
    del config
    return table(("Event ID", "PS3.15"), _events(_EVENTS))


def _events(events: Iterable[audit_codes.Code]) -> Iterator[tuple[str, str]]:
    for one in events:
        yield code(one.value, one.scheme, one.meaning), "A.5.3"
