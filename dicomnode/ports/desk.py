"""The views of an admin; each act is an event in the worklist that says who did it.

``by`` is the user of the operating system, or an account of the web pages.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Protocol

from dicomnode.domain.desk import Pause, Redirect
from dicomnode.ports.keeping import ExpiredStudy


class Desk(Protocol):
    """What an admin may change of jobs, deliveries and studies."""

    def retry_job(self, job_id: str, now: datetime, by: str = "") -> None:
        """FAILED or CANCELED -> SCHEDULED with a fresh set of attempts.

        Raises UnknownStudy, IllegalTransition.
        """
        ...

    def cancel_job(self, job_id: str, now: datetime, by: str = "") -> None:
        """SCHEDULED -> CANCELED. Raises UnknownStudy, IllegalTransition."""
        ...

    def retry_deliveries(self, job_id: str, now: datetime, by: str = "") -> int:
        """FAILED or REJECTED deliveries of a job -> PENDING; how many."""
        ...

    def resend_deliveries(
        self, job_id: str, now: datetime, by: str = "", destination: str = ""
    ) -> int:
        """SENT or COMMITTED deliveries of a job -> PENDING; how many.

        Those of one ``destination``, if it is named. The same objects go out again,
        under the same UIDs.
        """
        ...

    def reroute(self, study_instance_uid: str, now: datetime, by: str = "") -> None:
        """NOT_ROUTED -> COMPLETE: the router looks again, with today's rules.

        Raises UnknownStudy, IllegalTransition.
        """
        ...

    def force_complete(
        self, study_instance_uid: str, now: datetime, by: str = ""
    ) -> None:
        """Let a RECEIVING study complete now. Raises UnknownStudy."""
        ...


class Holds(Protocol):
    """Studies and jobs that are kept back; what a worker has in hand goes on."""

    def hold_job(self, job_id: str, now: datetime, by: str = "") -> bool:
        """Keep a job from being claimed; False: it was held already.

        Raises UnknownStudy, IllegalTransition for a job that has ended.
        """
        ...

    def release_job(self, job_id: str, now: datetime, by: str = "") -> bool:
        """Let a held job be claimed; False: it was not held. Raises UnknownStudy."""
        ...

    def hold_study(self, study_instance_uid: str, now: datetime, by: str = "") -> bool:
        """Keep a study from being routed, and its jobs from being claimed.

        False: it was held already. Raises UnknownStudy.
        """
        ...

    def release_study(
        self, study_instance_uid: str, now: datetime, by: str = ""
    ) -> bool:
        """Let a held study go on, with each of its jobs that is held.

        False: nothing of it was held. Raises UnknownStudy.
        """
        ...


class Pauses(Protocol):
    """Services that are stopped until they are resumed."""

    def pause(self, pause: Pause, by: str = "") -> bool:
        """Stop a service; False: it was stopped already."""
        ...

    def resume(self, now: datetime, pipeline: str = "", by: str = "") -> int:
        """End the pause of ``pipeline``; "": every pause, and the drain; how many."""
        ...

    def all(self) -> Sequence[Pause]:
        """What is stopped now."""
        ...

    def draining(self) -> bool:
        """Whether nothing more is to be received."""
        ...


class Redirects(Protocol):
    """Deliveries of a destination that was renamed or removed."""

    def count(self, redirect: Redirect, now: datetime) -> Mapping[str, int]:
        """How many would be moved, by the destination they go to now."""
        ...

    def move(self, redirect: Redirect, now: datetime, by: str = "") -> int:
        """FAILED, REJECTED or stranded -> PENDING for another destination; how many.

        What that destination has, or will get, already is not sent twice: CANCELED.
        """
        ...


class Purge(Protocol):
    """A study is removed for good, its files between the two calls."""

    def begin(
        self, study_instance_uid: str, now: datetime, by: str = ""
    ) -> ExpiredStudy:
        """Hold the study, so that nothing begins with it; the files to delete.

        Raises UnknownStudy, IllegalTransition while a worker or a sender has it.
        """
        ...

    def finish(self, study: ExpiredStudy, now: datetime, by: str, reason: str) -> bool:
        """Remove the rows of a study whose files are deleted.

        False, and nothing is removed, when files have come meanwhile: begin again.
        """
        ...
