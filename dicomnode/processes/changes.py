"""What has changed in the configuration since a process of this node last started."""

from __future__ import annotations

import fcntl
import hashlib
import json
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path

from dicomnode.audit import codes
from dicomnode.audit.codes import Code
from dicomnode.config import Config, shown

_SECURITY = ("peer", "receiver.tls", "bundles", "audit", "web", "account", "database")
_NETWORK = ("node", "receiver", "destination")
_DIGEST_LENGTH = 16


def since_last_start(
    config: Config, folder: Path
) -> Iterator[tuple[Code, tuple[str, ...]]]:
    """Kind of change and the keys that changed, for each kind; nothing the first time.

    Values are remembered as digests only; one that is masked when shown counts as it
    is shown. A folder that cannot be written gives nothing: the trail says so itself.
    """
    with suppress(OSError):
        before, now = _exchange(folder / "config.json", _digests(config))
        changed = sorted(
            key for key in {*before, *now} if before and before.get(key) != now.get(key)
        )
        found: dict[Code, list[str]] = defaultdict(list)
        for key in changed:
            found[_kind_of(key)].append(key)
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


def _digests(config: Config) -> dict[str, str]:
    return {f"{one.table}.{one.key}": _digest(one.value) for one in shown(config)}


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:_DIGEST_LENGTH]


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
