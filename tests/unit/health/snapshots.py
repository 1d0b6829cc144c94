"""A look at a node where everything has something to say."""

from __future__ import annotations

from datetime import UTC, datetime

from dicomnode.domain.delivery import DeliveryState
from dicomnode.domain.job import JobState
from dicomnode.domain.study import StudyState
from dicomnode.health.problems import Disk, Snapshot
from dicomnode.health.spool import Spool

NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)
STATES = {"study": StudyState, "job": JobState, "delivery": DeliveryState}
FULL = Snapshot(
    now=NOON,
    counts={name: {one.value: 1 for one in states} for name, states in STATES.items()},
    oldest={"received_at": NOON, "study_state": "RECEIVING", "completed_at": None},
    workers=[{"worker_id": "w", "heartbeat_at": NOON}],
    drift=[{"pipeline": "p"}],
    disk=Disk("/data", 100, 50.0, 90.0),
    reconciled={"balanced": 1, "n_found": 0, "n_repaired": 0, "finished_at": NOON},
    lease_seconds=120,
    spool=Spool(2, NOON),
)
