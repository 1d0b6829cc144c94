"""What waits on this machine to be handed over to an object store."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

LATE_SECONDS = 600.0
"""A spool that is older than this stands still, or the object store is too slow."""

_INSTANCES = "instances/*/*/*.dcm"
"""Of shards and studies in the data folder; what comes in has no such name yet."""


@dataclass(frozen=True, slots=True)
class Spool:
    """How many files wait, and since when the oldest; None if there is none."""

    n_files: int = 0
    oldest_at: datetime | None = None


def spool(data_dir: Path) -> Spool:
    """Count what lies there."""
    n_files, oldest = 0, float("inf")
    for path in data_dir.glob(_INSTANCES):
        try:
            oldest = min(oldest, path.stat().st_mtime)
        except FileNotFoundError:
            continue
        n_files += 1
    return Spool(n_files, datetime.fromtimestamp(oldest, UTC) if n_files else None)
