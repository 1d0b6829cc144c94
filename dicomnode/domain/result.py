"""A result that an analysis has left in the results store."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class KeptResult:
    """What is known of a result object without reading it.

    ``kind`` is ``sr``, ``sr-text``, ``sc`` or ``gsps``; ``location`` is relative to the
    results store; ``revision`` is the study revision it speaks of.
    """

    kind: str
    sop_class_uid: str
    sop_instance_uid: str
    series_instance_uid: str
    location: str
    revision: int


def predecessors_of(
    earlier: Sequence[KeptResult], kind: str, sop_class_uid: str
) -> tuple[KeptResult, ...]:
    """The documents among ``earlier`` that a new one replaces (PS3.3 C.17.2).

    Those of the newest revision, and of its SOP class if there are any, else of its
    kind: a destination may have been given another profile since.
    """
    alike = [one for one in earlier if one.kind == kind]
    newest = max((one.revision for one in alike), default=0)
    alike = [one for one in alike if one.revision == newest]
    same = [one for one in alike if one.sop_class_uid == sop_class_uid]
    return tuple(same or alike)
