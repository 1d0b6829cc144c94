"""Looks at the worklist, the monitors and the disk, for `status` and for the pages."""

from __future__ import annotations

import json
import os
import shutil
import socket
from collections import Counter
from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from dicomnode.health.drift import drift_alarms
from dicomnode.health.moments import moment
from dicomnode.health.problems import (
    LATELY_MINUTES,
    UNTOUCHED_SECONDS,
    Aside,
    Disk,
    Row,
    Snapshot,
)
from dicomnode.health.spool import spool
from dicomnode.views import Views

if TYPE_CHECKING:
    from dicomnode.config import Config

EXAMPLES = 5
RELOAD_FILE = "reload.json"
"""In the data folder: what the supervisor did when it was asked to reload."""
_EVENTS = 500
_CHANNELS = 20
_CALLS = 100
UNTOLD_HOURS = 2
"""A channel that goes on failing says so every hour."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What the configuration says that a look needs.

    ``store`` is a folder, empty for ``data_dir``; ``destinations`` the names
    of those that are configured; ``lease_seconds`` how long a worker may be silent;
    ``spools``: instances wait in ``data_dir`` to be handed over to the object store.
    """

    data_dir: Path
    store: str
    watermark_percent: float
    destinations: Collection[str]
    lease_seconds: float
    spools: bool = False


def surroundings(config: Config) -> Surroundings:
    """What ``config`` says of them."""
    return Surroundings(
        data_dir=config.node.data_dir,
        # What comes in for an object store lies in the data folder first.
        store="" if config.store.is_remote else config.store.url,
        watermark_percent=config.store.watermark_percent,
        destinations={one.name for one in config.result_destinations},
        lease_seconds=config.worker.lease_seconds,
        spools=config.store.spool,
    )


def look(views: Views, now: datetime, around: Surroundings) -> Snapshot:
    """How the node stands; what it takes does not grow with what waits."""
    return Snapshot(
        now=now,
        counts=views.counts(),
        oldest=views.oldest(),
        unrouted=views.unrouted(now - timedelta(seconds=UNTOUCHED_SECONDS)),
        failed=views.worklist(state="FAILED", limit=EXAMPLES),
        workers=_lately(views.workers(), now),
        refused=_refused(views),
        late=views.late(),
        absences=[
            row for row in views.absences() if row["destination"] in around.destinations
        ],
        stranded=views.stranded(around.destinations),
        pauses=views.pauses(),
        reconciled=next(iter(views.reconciliations()), None),
        ended=_ended(views, now),
        untold=_untold(views, now),
        drift=drift_alarms(around.data_dir),
        quarantine=set_aside(around),
        refused_config=_refused_config(around.data_dir),
        disk=_disk(around.store or str(around.data_dir), around.watermark_percent),
        lease_seconds=around.lease_seconds,
        spool=spool(around.data_dir) if around.spools else None,
        chores=views.chores(),
        roles=views.roles(),
        spools=views.spools(),
        host=socket.gethostname(),
    )


def _lately(workers: Sequence[Row], now: datetime) -> list[Row]:
    """Those of a day, and the last of all: every start of a worker is another one."""
    since = now - timedelta(days=1)
    older = [row for row in workers[1:] if moment(row["heartbeat_at"]) < since]
    return [row for row in workers if row not in older]


def _refused(views: Views) -> list[Row]:
    """The latest, each sender and reason once: who is refused calls again and again."""
    newest: dict[tuple[str, ...], Row] = {}
    for row in views.associations(limit=_CALLS, refused_only=True):
        what = (row["calling_ae_title"], row["address"], row["reason"])
        newest.setdefault(what, row)
    return list(newest.values())[:EXAMPLES]


def _ended(views: Views, now: datetime) -> Counter[str]:
    """How often each role has ended unasked, among the last events."""
    since = now - timedelta(minutes=LATELY_MINUTES)
    recent = views.events(max(0, views.last_seq() - _EVENTS), _EVENTS)
    return Counter(
        str(one["detail"]).partition(":")[0]
        for one in recent
        if one["kind"] == "node role end" and moment(one["at"]) >= since
    )


def set_aside(around: Surroundings) -> Aside:
    """What lies in the quarantine of the store."""
    is_folder = around.store and "://" not in around.store
    root = Path(around.store) if is_folder else around.data_dir / "instances"
    n_files = n_bytes = 0
    with suppress(OSError), os.scandir(root / "quarantine") as entries:
        for entry in entries:
            with suppress(FileNotFoundError):
                n_bytes += entry.stat().st_size
                n_files += 1
    return Aside(n_files, n_bytes)


def _refused_config(data_dir: Path) -> str:
    try:
        told = json.loads((data_dir / RELOAD_FILE).read_text("utf-8"))
        return str(told["refused"])
    except (OSError, ValueError, KeyError, TypeError):
        return ""


def _untold(views: Views, now: datetime) -> dict[str, str]:
    """Why a channel of alerts failed, unless it has worked since or it is long ago."""
    told = _by_channel(views.node_events("alert send", _CHANNELS))
    failed = _by_channel(views.node_events("alert fail", _CHANNELS))
    return {
        channel: str(row["detail"]).partition(" ")[2]
        for channel, row in failed.items()
        if row["seq"] > (told[channel]["seq"] if channel in told else 0)
        and now - moment(row["at"]) <= timedelta(hours=UNTOLD_HOURS)
    }


def _by_channel(newest_first: Sequence[Row]) -> dict[str, Row]:
    rows = {str(row["detail"]).partition(" ")[0]: row for row in reversed(newest_first)}
    return dict(sorted(rows.items()))


def _disk(folder: str, watermark_percent: float) -> Disk | None:
    if not Path(folder).is_dir():
        return None
    usage = shutil.disk_usage(folder)
    # As `df` counts, and the store: what root keeps back is nobody's room.
    total = usage.used + usage.free
    return Disk(folder, total, 100.0 * usage.used / total, watermark_percent)
