"""The receiver's views of the worklist, and those of assembler and router."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from dicomnode.domain.association import Association, Refusal
from dicomnode.domain.following import FinishedJob
from dicomnode.domain.instance import Disposition, Instance, ReceivedInstance
from dicomnode.domain.job import NewJob
from dicomnode.domain.study import Study, StudyState


class Intake(Protocol):
    """The receiver's view of the worklist."""

    def record(self, instance: ReceivedInstance) -> Disposition:
        """Commit one instance; it is durable on return.

        NEW moves ``last_instance_at``; on a study that had left RECEIVING it opens the
        next revision and cancels jobs of older revisions that nobody has claimed.
        DUPLICATE (same SOP Instance UID, same sha256) changes nothing. CONFLICT (same
        SOP Instance UID, other sha256) is kept and flagged and changes nothing else.
        One of our own results (domain.ownership) coming back is recorded, opens no
        revision and moves no time of a study that is there already.
        Raises WorklistError when the database cannot commit.
        """
        ...

    def record_association(self, association: Association) -> None:
        """Note an accepted or refused association."""
        ...

    def note_association(self, association: Association) -> None:
        """The same together with what is recorded next, so that nobody waits for it."""
        ...

    def record_noted(self) -> None:
        """Record the associations that are noted and not recorded yet, if any."""
        ...

    def record_refusal(self, refusal: Refusal) -> None:
        """Note a C-STORE that was not answered with Success (an event `refused`)."""
        ...


@dataclass(frozen=True, slots=True)
class KeptInstance:
    """What the worklist knows of an instance whose file is still kept."""

    sop_class_uid: str
    location: str


class Kept(Protocol):
    """Who answers for received instances when a modality asks (PS3.4 J)."""

    def kept(self, sop_instance_uids: Collection[str]) -> Mapping[str, KeptInstance]:
        """Those of the instances that are recorded, and not forgotten since."""
        ...


class Studies(Protocol):
    """The view of assembler and router."""

    def receiving(self) -> Sequence[Study]:
        """Studies in RECEIVING."""
        ...

    def complete(self, study: Study, now: datetime) -> bool:
        """RECEIVING -> COMPLETE; False when an instance came in the meantime."""
        ...

    def pass_on(
        self, study: Study, jobs: Sequence[NewJob], reason: str, now: datetime
    ) -> StudyState | None:
        """`complete` and `route` in one transaction; the state that was reached.

        COMPLETE where an admin holds the study; None, and nothing has changed, when an
        instance came in the meantime.
        """
        ...

    def unrouted(self) -> Sequence[Study]:
        """Studies in COMPLETE."""
        ...

    def instances(self, study_instance_uid: str) -> Sequence[Instance]:
        """The current instances of a study (a flagged conflict is not among them)."""
        ...

    def route(
        self, study: Study, jobs: Sequence[NewJob], reason: str, now: datetime
    ) -> bool:
        """COMPLETE -> ROUTED with ``jobs``, or NOT_ROUTED with ``reason`` if none.

        One transaction. False when the study has moved on meanwhile.
        """
        ...

    def unfollowed(self, limit: int) -> Sequence[FinishedJob]:
        """COMPLETED jobs that the router has not looked at since, the oldest first."""
        ...

    def follow(
        self,
        job: FinishedJob,
        followers: Sequence[NewJob],
        skipped: Sequence[str],
        now: datetime,
    ) -> bool:
        """Schedule the followers of ``job``; an event tells of each one skipped.

        One transaction. False when that was done before, or when the study has a newer
        revision meanwhile: nothing is scheduled then, the new revision's jobs follow.
        """
        ...
