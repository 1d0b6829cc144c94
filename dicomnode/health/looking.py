"""Looks at the worklist, the monitors and the disk, for `status` and for the pages."""

from __future__ import annotations

import shutil
from datetime import datetime
from pathlib import Path

from dicomnode.health.drift import drift_alarms
from dicomnode.health.problems import Disk, Snapshot
from dicomnode.views import Views

EXAMPLES = 5
_WAITING = ("RECEIVING", "COMPLETE", "SCHEDULED", "IN_PROGRESS")


def look(
    views: Views,
    now: datetime,
    *,
    data_dir: Path,
    store: str,
    watermark_percent: float,
    lease_seconds: float,
) -> Snapshot:
    """How the node stands; ``store`` is a folder or a URL, empty for ``data_dir``."""
    waiting = [row for state in _WAITING for row in views.worklist(state=state)]
    return Snapshot(
        now=now,
        counts=views.counts(),
        waiting=sorted(waiting, key=lambda row: str(row["received_at"])),
        failed=views.worklist(state="FAILED", limit=EXAMPLES),
        workers=views.workers(),
        refused=views.associations(limit=EXAMPLES, refused_only=True),
        late=[row for row in views.deliveries(state="PENDING") if row["attempts"]],
        drift=drift_alarms(data_dir),
        disk=_disk(store or str(data_dir), watermark_percent),
        lease_seconds=lease_seconds,
    )


def _disk(folder: str, watermark_percent: float) -> Disk | None:
    if "://" in folder or not Path(folder).is_dir():
        return None
    usage = shutil.disk_usage(folder)
    # As `df` counts, and the store: what root keeps back is nobody's room.
    total = usage.used + usage.free
    return Disk(folder, total, 100.0 * usage.used / total, watermark_percent)
