"""Delivered means kept: after Success, find out whether the destination keeps it.

A result is asked about by storage commitment where it is offered. Without an answer in
time, or without the offer, C-FIND at instance level tells whether it is there. What a
destination does not have goes out again, as often as there are delays.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol

import structlog

from dicomnode.delivery import statuses
from dicomnode.domain.commitment import Asked, Check, CommitmentRequest, Unconfirmed
from dicomnode.domain.retry import next_attempt_at
from dicomnode.errors import NothingAccepted, Unreachable
from dicomnode.ports import Absences, Clock, Commitments

_log = structlog.get_logger(__name__)

_NOT_OFFERED = (
    "the destination offers no storage commitment; enable it there for our AE title, "
    'or set storage_commitment = "auto"'
)
_NOT_ANSWERED = (
    "no answer to the request for storage commitment; check that the destination knows "
    "our AE title, address and port, and that it may associate with our receiver"
)
_NOT_SHOWN = (
    "it answered Success and does not show the result by C-FIND; look into its log"
)


class Talk(Protocol):
    """What an association with a destination allows (commitment_scu.Dialogue)."""

    @property
    def offers_commitment(self) -> bool:
        """Whether storage commitment may be asked for."""
        ...

    @property
    def offers_find(self) -> bool:
        """Whether an instance may be looked for."""
        ...

    def ask(self, request: CommitmentRequest) -> int | None:
        """The status of the request, None without one."""
        ...

    def has(self, one: Unconfirmed) -> bool | None:
        """Whether it is there; None when that cannot be told."""
        ...


class Confirmations(Protocol):
    """Who opens such an association (commitment_scu.CommitmentScu)."""

    def opened(self) -> AbstractContextManager[Talk]:
        """Raises Unreachable, NothingAccepted."""
        ...


class _Silence:
    """A destination that accepts neither of the two."""

    offers_commitment = False
    offers_find = False

    def ask(self, request: CommitmentRequest) -> int | None:
        """Nobody to ask."""

    def has(self, one: Unconfirmed) -> bool | None:
        """Nobody to ask."""


@dataclass(frozen=True, slots=True)
class ConfirmPolicy:
    """``required``: nothing less than a promise will do; all times in seconds.

    ``timeout_seconds``: for an answer to come; ``retry_seconds``: before each further
    attempt, and before a destination that is down is tried again.
    """

    retry_seconds: Sequence[float]
    required: bool = False
    timeout_seconds: float = 600.0
    lease_seconds: float = 300.0
    batch: int = 32


class Confirmer:
    """Finds out for one destination what became of its SENT deliveries."""

    def __init__(
        self,
        destination: str,
        commitments: Commitments,
        absences: Absences,
        scu: Confirmations,
        clock: Clock,
        policy: ConfirmPolicy,
    ) -> None:
        self.destination = destination
        self._commitments = commitments
        self._absences = absences
        self._scu = scu
        self._clock = clock
        self._policy = policy

    def run_once(self) -> int:
        """Check what is due; how many were checked, 0 when nobody answers."""
        due = self._commitments.unconfirmed(
            self.destination,
            self._clock.now(),
            self._policy.lease_seconds,
            self._policy.batch,
        )
        open_ones = []
        for one in due:
            if one.failure_reason is None:
                open_ones.append(one)
            else:
                self._lost(one, statuses.explain_failure(one.failure_reason))
        if open_ones and not self._check(open_ones):
            return 0
        return len(due)

    def _check(self, due: Sequence[Unconfirmed]) -> bool:
        """Whether the destination was there."""
        try:
            with self._talk() as talk:
                self._absences.present(self.destination, self._clock.now())
                for one in due:
                    if one.check is not Check.ASK:
                        self._look(talk, one)
                self._ask(talk, [one for one in due if one.check is Check.ASK])
        except Unreachable as error:
            # A destination that is down says nothing about what it keeps.
            delays, now = self._policy.retry_seconds, self._clock.now()
            self._absences.absent(self.destination, str(error), delays, now)
            self._commitments.put_back(due)
            return False
        return True

    @contextmanager
    def _talk(self) -> Iterator[Talk]:
        with ExitStack() as stack:
            talk: Talk = _Silence()
            with suppress(NothingAccepted):
                talk = stack.enter_context(self._scu.opened())
            yield talk

    def _ask(self, talk: Talk, about: Sequence[Unconfirmed]) -> None:
        if not about:
            return
        if not talk.offers_commitment:
            for one in about:
                self._look_later(talk, one, _NOT_OFFERED)
            return
        status = self._request(talk, about)
        if status != statuses.SUCCESS:
            for one in about:
                self._look_later(talk, one, _refused(status))

    def _request(self, talk: Talk, about: Sequence[Unconfirmed]) -> int | None:
        now = self._clock.now()
        uid = f"2.25.{uuid.uuid4().int}"
        overdue_at = now + timedelta(seconds=self._policy.timeout_seconds)
        asked = Asked(uid, self.destination, now, overdue_at)
        self._commitments.asked(asked, about)
        references = tuple(one.reference for one in about)
        status = talk.ask(CommitmentRequest(uid, references))
        _log.info(
            "delivery.commitment_asked",
            destination=self.destination,
            transaction_uid=uid,
            n_instances=len(about),
            status=None if status is None else f"0x{status:04X}",
        )
        return status

    def _look_later(self, talk: Talk, one: Unconfirmed, error: str) -> None:
        """Storage commitment cannot be had just now."""
        if self._policy.required:
            self._in_vain(one, error)
            return
        now = self._clock.now()
        then = Check.LOOK if talk.offers_find else None
        at = now + timedelta(seconds=self._policy.timeout_seconds)
        self._commitments.recheck(one, then, "", at)

    def _look(self, talk: Talk, one: Unconfirmed) -> None:
        there, now = talk.has(one), self._clock.now()
        if there is False:
            self._lost(one, _NOT_SHOWN)
            return
        if there:
            then = Check.ASK if self._policy.required else None
            self._commitments.verified(one, then, now, now)
            self._say(one, "verified", "")
        if self._policy.required:
            self._in_vain(one, _NOT_ANSWERED)
        elif not there:
            error = _NOT_ANSWERED if one.check is Check.WAIT else ""
            self._commitments.recheck(one, None, error, now)

    def _in_vain(self, one: Unconfirmed, error: str) -> None:
        """Ask again for the promise that is required, REJECTED when retries end."""
        now = self._clock.now()
        again_at = next_attempt_at(one.checks + 1, self._policy.retry_seconds, now)
        if again_at is None:
            self._commitments.lost(one, error, None, now)
        else:
            self._commitments.unanswered(one, error, again_at, now)
        self._say(one, "unconfirmed", error)

    def _lost(self, one: Unconfirmed, error: str) -> None:
        now = self._clock.now()
        retry_at = next_attempt_at(one.checks + 1, self._policy.retry_seconds, now)
        self._commitments.lost(one, error, retry_at, now)
        self._say(one, "rejected" if retry_at is None else "lost", error)

    def _say(self, one: Unconfirmed, event: str, error: str) -> None:
        _log.info(
            f"delivery.{event}",
            job_id=one.job_id,
            destination=one.destination,
            result_kind=one.result_kind,
            sop_instance_uid=one.sop_instance_uid,
            error=error,
        )


def _refused(status: int | None) -> str:
    if status is None:
        return _NOT_ANSWERED
    return f"it refuses the request for storage commitment: {statuses.explain(status)}"
