"""What the receiver tells of an association, and of what it refused on one."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Association:
    """One association request; ``remedy`` is the configuration line that admits it."""

    at: datetime
    calling_ae_title: str
    called_ae_title: str
    address: str
    accepted: bool
    reason: str = ""
    remedy: str = ""


@dataclass(frozen=True, slots=True)
class Refusal:
    """A C-STORE answered with a failure ``status`` (PS3.4 Table B.2-1), and why."""

    at: datetime
    calling_ae_title: str
    address: str
    sop_class_uid: str
    sop_instance_uid: str
    status: int
    reason: str
