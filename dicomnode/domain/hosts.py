"""The processes of a node that runs on several hosts."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

BEAT_SECONDS = 20.0
"""How often a role says that it lives."""

STALE_SECONDS = 90.0
"""A role that was silent for so long has ended, or its host is cut off."""

FORGOTTEN_SECONDS = 86_400.0
"""A host that was silent for so long is no part of the node any more."""


@dataclass(frozen=True, slots=True)
class RoleProcess:
    """A role that runs: its name in the feed is ``role@host-pid``."""

    role: str
    host: str
    pid: int
    started_at: datetime
    version: str = ""

    @property
    def name(self) -> str:
        """Of this process among all."""
        return f"{self.role}@{self.host}-{self.pid}"
