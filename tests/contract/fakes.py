"""In-memory adapters of the ports, held to the same contract tests as the real ones."""

from __future__ import annotations

import io
import threading
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from hashlib import sha256
from typing import Any, BinaryIO

import structlog

from dicomnode.domain.association import Association, Refusal
from dicomnode.domain.chore import ChoreRun, goes_on
from dicomnode.domain.findings import Observation
from dicomnode.domain.instance import (
    Disposition,
    InstanceKey,
    ReceivedInstance,
    StoredInstance,
)
from dicomnode.errors import WorklistError
from dicomnode.ports import Buffer, Usage
from dicomnode.store import file_meta, layout
from dicomnode.views import utc_text

_log = structlog.get_logger(__name__)


class MemoryStore:
    """An InstanceStore without a disk."""

    def __init__(self, total_bytes: int = 1 << 30) -> None:
        self.files: dict[str, bytes] = {}
        self._total_bytes = total_bytes
        self._lock = threading.Lock()

    def put(self, key: InstanceKey, chunks: Iterable[Buffer]) -> StoredInstance:
        layout.check(key)
        data_set = b"".join(bytes(chunk) for chunk in chunks)
        content = sha256(data_set).hexdigest()
        name, _ = layout.names(key.sop_instance_uid, content)
        location = f"{layout.folder(key.study_instance_uid)}/{name}"
        with self._lock:
            self.files.setdefault(location, file_meta.encode(key) + data_set)
        return StoredInstance(location, len(data_set), content)

    def open(self, location: str) -> BinaryIO:
        if location not in self.files:
            raise FileNotFoundError(location)
        return io.BytesIO(self.files[location])

    def delete(self, location: str) -> None:
        if not layout.is_location(location):
            raise FileNotFoundError(location)
        with self._lock:
            self.files.pop(location, None)

    def usage(self) -> Usage:
        used = sum(map(len, self.files.values()))
        return Usage(self._total_bytes, self._total_bytes - used)

    def locations(self) -> Iterable[str]:
        return list(self.files)

    def sweep(self, older_than: datetime) -> int:
        return 0


class MemoryIntake:
    """An Intake in memory; ``failing`` makes it raise WorklistError."""

    def __init__(self) -> None:
        self.instances: list[ReceivedInstance] = []
        self.associations: list[Association] = []
        self.refusals: list[Refusal] = []
        self.failing = False
        self._contents: dict[str, str] = {}
        self._lock = threading.Lock()

    def record(self, instance: ReceivedInstance) -> Disposition:
        self._fail_if_asked()
        with self._lock:
            known = self._contents.setdefault(
                instance.key.sop_instance_uid, instance.stored.sha256
            )
            if known != instance.stored.sha256:
                return Disposition.CONFLICT
            if any(one.key == instance.key for one in self.instances):
                return Disposition.DUPLICATE
            self.instances.append(instance)
            return Disposition.NEW

    def record_association(self, association: Association) -> None:
        self._fail_if_asked()
        self.associations.append(association)

    def note_association(self, association: Association) -> None:
        self.record_association(association)

    def record_noted(self) -> None:
        self._fail_if_asked()

    def record_refusal(self, refusal: Refusal) -> None:
        self._fail_if_asked()
        self.refusals.append(refusal)

    def _fail_if_asked(self) -> None:
        if self.failing:
            raise WorklistError("the database is locked; end the program that holds it")


class MemoryChoreRuns:
    """ChoreRuns in memory; ``failing`` makes it raise WorklistError."""

    def __init__(self) -> None:
        self.rows: dict[str, dict[str, Any]] = {}
        self.noted: list[ChoreRun] = []
        self.failing = False

    def enlist(
        self, every_seconds: Mapping[str, float], holder: str, now: datetime
    ) -> None:
        self._fail_if_asked()
        ended = [row["ended_at"] for row in self.rows.values() if row["ended_at"]]
        since = {} if goes_on(max(ended, default=None), now) else {"enlisted_at": now}
        never = dict.fromkeys(_CHORE_TIMES) | {"n_done": 0, "error": ""}
        never["enlisted_at"] = now
        self.rows = {
            name: {**never, **self.rows.get(name, {}), "name": name, **since}
            | {"every_seconds": seconds, "holder": holder}
            for name, seconds in every_seconds.items()
        }

    def ran(self, run: ChoreRun) -> None:
        self._fail_if_asked()
        self.noted.append(run)
        if (row := self.rows.get(run.name)) is None:
            return
        row |= {"began_at": run.began_at, "ended_at": run.ended_at}
        row["n_done"] = run.n_done
        row["failed_at" if run.error else "succeeded_at"] = run.ended_at
        if run.n_done:
            row["last_done_at"] = run.ended_at
        if run.error:
            row["error"] = run.error

    def chores(self) -> list[dict[str, Any]]:
        """As ``Views.chores``; nobody leads."""
        return [
            {
                name: utc_text(one) if isinstance(one, datetime) else one
                for name, one in row.items()
            }
            for _, row in sorted(self.rows.items())
        ]

    def _fail_if_asked(self) -> None:
        if self.failing:
            raise WorklistError("the database is locked; end the program that holds it")


_CHORE_TIMES = (
    "began_at",
    "ended_at",
    "last_done_at",
    "succeeded_at",
    "failed_at",
    "led_until",
)


class MemoryMonitor:
    """A DriftMonitor in memory: logs the first image of a station that is outside."""

    def __init__(self) -> None:
        self.seen: list[Observation] = []
        self._alarmed: set[str] = set()

    def observe(self, images: Sequence[Observation]) -> None:
        for one in images:
            self.seen.append(one)
            if one.outside and one.station not in self._alarmed:
                self._alarmed.add(one.station)
                about = f"station number {len(self._alarmed)}"
                _log.warning("monitor.alarm", reason=about, remedy="look")
