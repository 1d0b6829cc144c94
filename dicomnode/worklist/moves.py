"""Changes of state: only along the arrows of the domain's tables, each with an event.

A change is a guarded UPDATE: its WHERE names the states that the event may start from,
so two processes can never both make it.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import TypeVar

from sqlalchemy import Column, ColumnElement

from dicomnode.domain.machine import StateMachine
from dicomnode.worklist.engine import Event

S = TypeVar("S", bound=StrEnum)


def may(
    machine: StateMachine[S], column: Column[str], event: str
) -> ColumnElement[bool]:
    """The condition that a row's state lets ``event`` happen."""
    sources = [source.value for source in machine.sources(event)]
    return column == sources[0] if len(sources) == 1 else column.in_(sources)


def state_after(machine: StateMachine[S], event: str) -> str:
    """The state that ``event`` leads to, from whichever state it starts."""
    (target,) = {machine.after(source, event) for source in machine.sources(event)}
    return target.value


def job_event(
    job: tuple[str, str], event: str, state: str, at: datetime, detail: str = ""
) -> Event:
    """The event of a job, given as (job_id, study_instance_uid)."""
    return Event(at, f"job {event}", state, job[1], job[0], detail)
