"""The small interfaces between rooms. Each has one contract test for all its adapters.

Rooms take what they need in their constructor; only ``processes`` knows the classes
behind it. All instants are aware UTC.
"""

from __future__ import annotations

from dicomnode.ports.backfilling import Archive, Backfills, Taking
from dicomnode.ports.delivering import (
    Absences,
    CommitmentAnswers,
    Commitments,
    Outbox,
    Sender,
)
from dicomnode.ports.desk import Desk, Holds, Pauses, Purge, Redirects
from dicomnode.ports.files import (
    Buffer,
    Incoming,
    InstanceStore,
    Quarantine,
    Spools,
    Staging,
    Usage,
)
from dicomnode.ports.keeping import (
    ChoreRuns,
    Clock,
    EndedStudy,
    ExpiredStudy,
    NodeEvent,
    Roles,
    Upkeep,
)
from dicomnode.ports.receiving import Intake, Kept, KeptInstance, Studies
from dicomnode.ports.reconciling import Ledger, Mender, ReadHeader, Stock
from dicomnode.ports.waking import WakeUps
from dicomnode.ports.working import DriftMonitor, Jobs, Predictor, SeriesPredictor

__all__ = [
    "Absences",
    "Archive",
    "Backfills",
    "Buffer",
    "ChoreRuns",
    "Clock",
    "CommitmentAnswers",
    "Commitments",
    "Desk",
    "DriftMonitor",
    "EndedStudy",
    "ExpiredStudy",
    "Holds",
    "Incoming",
    "InstanceStore",
    "Intake",
    "Jobs",
    "Kept",
    "KeptInstance",
    "Ledger",
    "Mender",
    "NodeEvent",
    "Outbox",
    "Pauses",
    "Predictor",
    "Purge",
    "Quarantine",
    "ReadHeader",
    "Redirects",
    "Roles",
    "Sender",
    "SeriesPredictor",
    "Spools",
    "Staging",
    "Stock",
    "Studies",
    "Taking",
    "Upkeep",
    "Usage",
    "WakeUps",
]
