"""What has changed in the configuration since a process of this node last started."""

from __future__ import annotations

import fcntl
import hashlib
import hmac
import json
import os
import secrets
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path

from pydantic import BaseModel, SecretStr

from dicomnode.audit import codes
from dicomnode.audit.codes import Code
from dicomnode.config import Config, shown

_SECURITY = ("peer", "receiver.tls", "bundles", "audit", "web", "account", "database")
_NETWORK = ("node", "receiver", "destination")
_DIGEST_LENGTH = 16
_KEY_FILE = "config.key"
_KEY_BYTES = 32


def since_last_start(
    config: Config, folder: Path
) -> Iterator[tuple[Code, tuple[str, ...]]]:
    """Kind of change and the keys that changed, for each kind; nothing the first time.

    Values are remembered as digests only, secrets too. Each is made with a random key
    of this node, so that whoever has the digests and not the key cannot try passwords
    on them. A folder that cannot be written gives nothing: the trail says so itself.
    """
    with suppress(OSError):
        key = _key_of(config.node.data_dir / _KEY_FILE)
        before, now = _exchange(folder / "config.json", _digests(config, key))
        changed = sorted(
            name
            for name in {*before, *now}
            if before.get("") == now[""] and before.get(name) != now.get(name)
        )
        found: dict[Code, list[str]] = defaultdict(list)
        for name in changed:
            found[_kind_of(name)].append(name)
        for kind, keys in found.items():
            yield kind, tuple(keys)


def _kind_of(key: str) -> Code:
    if key.startswith(_SECURITY):
        return codes.SECURITY_CONFIGURATION
    return (
        codes.NETWORK_CONFIGURATION
        if key.startswith(_NETWORK)
        else codes.SOFTWARE_CONFIGURATION
    )


def _digests(config: Config, key: bytes) -> dict[str, str]:
    """By the key's name; the one of the random key itself is under no name."""
    texts = {f"{one.table}.{one.key}": one.value for one in shown(config)}
    texts |= dict(_secrets(config))
    return {name: _digest(key, text) for name, text in {"": "", **texts}.items()}


def _secrets(table: BaseModel, prefix: str = "") -> Iterator[tuple[str, str]]:
    """What is masked when shown, as it is."""
    for key in type(table).model_fields:
        value, name = getattr(table, key), f"{prefix}{key}"
        if isinstance(value, SecretStr):
            yield name, value.get_secret_value()
        elif isinstance(value, BaseModel):
            yield from _secrets(value, f"{name}.")
        elif isinstance(value, tuple):
            for number, one in enumerate(value, start=1):
                if isinstance(one, BaseModel):
                    yield from _secrets(one, f"{name}[{number}].")


def _digest(key: bytes, text: str) -> str:
    return hmac.new(key, text.encode(), hashlib.sha256).hexdigest()[:_DIGEST_LENGTH]


def _key_of(path: Path) -> bytes:
    """The random key, made the first time, for this user's eyes only."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    with os.fdopen(descriptor, "r+b") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        os.fchmod(file.fileno(), 0o600)
        key = file.read()
        if len(key) != _KEY_BYTES:
            key = secrets.token_bytes(_KEY_BYTES)
            file.seek(0)
            file.truncate()
            file.write(key)
        return key


def _exchange(
    path: Path, now: Mapping[str, str]
) -> tuple[Mapping[str, str], Mapping[str, str]]:
    """The digests of the last start, replaced by those of ``now`` under a lock."""
    path.parent.mkdir(mode=0o750, parents=True, exist_ok=True)
    with path.open("a+", encoding="utf-8") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.seek(0)
        try:
            before = json.loads(file.read() or "{}")
        except ValueError:
            before = {}
        if before != now:
            file.truncate(0)
            json.dump(now, file)
    return (before if isinstance(before, dict) else {}), now
