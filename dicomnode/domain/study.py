"""A study on its way from the first instance to the router."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from dicomnode.domain.machine import Arrow, StateMachine


class StudyState(StrEnum):
    """States of one study revision."""

    RECEIVING = "RECEIVING"
    COMPLETE = "COMPLETE"
    ROUTED = "ROUTED"
    NOT_ROUTED = "NOT_ROUTED"


_R, _C = StudyState.RECEIVING, StudyState.COMPLETE
_ROUTED, _NOT_ROUTED = StudyState.ROUTED, StudyState.NOT_ROUTED

STUDY_STATES = StateMachine(
    "study",
    (
        Arrow(_R, "receive", _R, "receiver"),
        Arrow(_R, "complete", _C, "assembler"),
        Arrow(_C, "route", _ROUTED, "router"),
        Arrow(_C, "leave", _NOT_ROUTED, "router"),
        # Instances came before the router did: the next revision holds them all.
        Arrow(_C, "overtake", _NOT_ROUTED, "receiver"),
        # A late instance opens the next revision; it is never dropped.
        Arrow(_C, "receive", _R, "receiver"),
        Arrow(_ROUTED, "receive", _R, "receiver"),
        Arrow(_NOT_ROUTED, "receive", _R, "receiver"),
        # An admin changed the rules and asks the router to look again.
        Arrow(_NOT_ROUTED, "reroute", _C, "admin"),
        # Routed, and no job is there: the router makes them again.
        Arrow(_ROUTED, "repair", _C, "reconcile"),
    ),
)


@dataclass(frozen=True, slots=True)
class Study:
    """The current revision of a study; instants are aware UTC."""

    study_instance_uid: str
    revision: int
    state: StudyState
    first_instance_at: datetime
    last_instance_at: datetime
    n_series: int
    n_instances: int
    calling_ae_title: str
    forced: bool = False
    """An admin asked for completion now."""
    backfilled: bool = False
    """It comes from an archive's history: its jobs let all others pass."""
