"""What an admin does to the node, in words: who did it, and what is stopped."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class Service(StrEnum):
    """What can be stopped while the node runs."""

    RECEIVE = "receive"
    WORK = "work"


@dataclass(frozen=True, slots=True)
class Pause:
    """A service that an admin has stopped; ``pipeline`` "" means every one."""

    service: Service
    paused_at: datetime
    pipeline: str = ""
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Redirect:
    """Deliveries to be sent to the destination ``to``.

    ``source`` names the destination they go to now, waiting ones included; "" means
    those that ``to`` refused and those of any destination that is not ``known``.
    ``job_ids``: only of these jobs; empty: of all.
    """

    to: str
    known: tuple[str, ...]
    source: str = ""
    job_ids: tuple[str, ...] = ()


def said(by: str, reason: str = "") -> str:
    """The end of an event's detail: who did it, and why."""
    who = f"by {by}" if by else ""
    return ": ".join(part for part in (who, reason) if part)
