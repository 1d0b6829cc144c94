"""Storage commitment on our associations (PS3.4 J): asked by modalities, told by PACS.

A modality asks by N-ACTION whether we keep what it sent. The answer goes out at once by
N-EVENT-REPORT on the same association; a modality that releases before it has taken it
gets it on an association of its own, if its port is configured. A destination that we
have asked reports to us in the same way.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import cast

import structlog
from pynetdicom.dimse_primitives import N_ACTION, N_EVENT_REPORT
from pynetdicom.events import Event
from pynetdicom.presentation import PresentationContextTuple

from dicomnode import storage_commitment
from dicomnode.domain.commitment import (
    PUSH_MODEL_INSTANCE,
    REQUEST_COMMITMENT,
    CommitmentAnswer,
    CommitmentRequest,
    Failed,
    FailureReason,
    Reference,
)
from dicomnode.errors import Unreadable, WorklistError
from dicomnode.ports import Clock, CommitmentAnswers, InstanceStore, Kept, KeptInstance
from dicomnode.receiver.acceptance import Request
from dicomnode.receiver.reporting import Reporter, report_message
from dicomnode.receiver.statuses import Status

_LOG = structlog.get_logger(__name__)
_FIRST_MESSAGE_ID = 1

Reply = tuple[int, None]
"""DIMSE status and no data set."""


class CommitmentScp:
    """What all associations share; safe for many threads."""

    def __init__(
        self,
        store: InstanceStore,
        kept: Kept,
        answers: CommitmentAnswers,
        clock: Clock,
        reporter: Reporter,
    ) -> None:
        self._store = store
        self._kept = kept
        self._answers = answers
        self._clock = clock
        self.reporter = reporter

    def decide(self, request: CommitmentRequest) -> CommitmentAnswer:
        """What we promise to keep: instances with a row and a file; the rest failed.

        Raises WorklistError when the worklist cannot tell.
        """
        known = self._kept.kept({one.sop_instance_uid for one in request.instances})
        committed: list[Reference] = []
        failed: list[Failed] = []
        for one in request.instances:
            reason = self._reason(one, known.get(one.sop_instance_uid))
            if reason is None:
                committed.append(one)
            else:
                failed.append(Failed(one, reason))
        return CommitmentAnswer(
            request.transaction_uid, tuple(committed), tuple(failed)
        )

    def note(self, answer: CommitmentAnswer) -> bool:
        """Take the answer of a destination; False for a transaction we do not know."""
        return self._answers.answer(answer, self._clock.now())

    def _reason(
        self, one: Reference, kept: KeptInstance | None
    ) -> FailureReason | None:
        if kept is None:
            return FailureReason.NO_SUCH_INSTANCE
        if kept.sop_class_uid != one.sop_class_uid:
            return FailureReason.CLASS_INSTANCE_CONFLICT
        try:
            self._store.open(kept.location).close()
        except FileNotFoundError:
            return FailureReason.NO_SUCH_INSTANCE
        except OSError:
            return FailureReason.PROCESSING_FAILURE
        return None


@dataclass(frozen=True, slots=True)
class _Due:
    """An answer, and the presentation context it was asked for in."""

    answer: CommitmentAnswer
    context: PresentationContextTuple


class CommitmentSession:
    """Storage commitment on one association, in its thread."""

    def __init__(self, scp: CommitmentScp) -> None:
        self._scp = scp
        self._due: list[_Due] = []
        self._on_its_way: dict[int, CommitmentAnswer] = {}
        self._message_id = _FIRST_MESSAGE_ID

    def asked(self, event: Event, by: Request, may_ask: bool) -> Reply:
        """An N-ACTION (PS3.4 J.3.2)."""
        status = _check_action(event) if may_ask else Status.NOT_AUTHORISED
        if status == Status.SUCCESS:
            status = self._take(event, by)
        if status != Status.SUCCESS:
            _log_refused("receiver.commitment_refused", by, status)
        return int(status), None

    def told(self, event: Event, by: Request) -> Reply:
        """An N-EVENT-REPORT (PS3.4 J.3.3) of a destination."""
        try:
            answer = storage_commitment.read_answer(event.event_information)
            known = self._scp.note(answer)
        except Unreadable:
            known = False
        except WorklistError:
            _log_refused("receiver.report_refused", by, Status.PROCESSING_FAILURE)
            return Status.PROCESSING_FAILURE, None
        if not known:
            _log_refused("receiver.report_refused", by, Status.INVALID_ARGUMENT)
            return Status.INVALID_ARGUMENT, None
        _log_answer("receiver.commitment_report", answer, by)
        return Status.SUCCESS, None

    def reports(self) -> Iterable[tuple[N_EVENT_REPORT, int]]:
        """The messages to send now, each with its context ID."""
        due, self._due = self._due, []
        for one in due:
            self._message_id += 1
            self._on_its_way[self._message_id] = one.answer
            message = report_message(one.answer, one.context, self._message_id)
            yield message, one.context.context_id

    def answered(self, message: N_EVENT_REPORT) -> None:
        """The response to a report; one that is refused goes another way."""
        if message.Status == Status.SUCCESS:
            self._on_its_way.pop(int(message.MessageIDBeingRespondedTo or 0), None)

    def ended(self, by: Request) -> None:
        """The association is over: what it did not take goes on one of its own."""
        for answer in (*self._on_its_way.values(), *(one.answer for one in self._due)):
            self._scp.reporter.report(answer, by.calling_ae_title, by.address)
        self._on_its_way.clear()

    def _take(self, event: Event, by: Request) -> Status:
        try:
            request = storage_commitment.read_request(event.action_information)
            answer = self._scp.decide(request)
        except Unreadable:
            return Status.INVALID_ARGUMENT
        except WorklistError:
            return Status.PROCESSING_FAILURE
        self._due.append(_Due(answer, event.context))
        _log_answer("receiver.commitment", answer, by)
        return Status.SUCCESS


def _check_action(event: Event) -> Status:
    request = cast("N_ACTION", event.request)
    if request.RequestedSOPInstanceUID != PUSH_MODEL_INSTANCE:
        return Status.NO_SUCH_INSTANCE
    if request.ActionTypeID != REQUEST_COMMITMENT:
        return Status.NO_SUCH_ACTION
    return Status.SUCCESS


def _log_answer(event: str, answer: CommitmentAnswer, by: Request) -> None:
    _LOG.info(
        event,
        transaction_uid=answer.transaction_uid,
        calling_ae_title=by.calling_ae_title,
        address=by.address,
        n_committed=len(answer.committed),
        n_failed=len(answer.failed),
    )


def _log_refused(event: str, by: Request, status: Status) -> None:
    _LOG.warning(
        event,
        calling_ae_title=by.calling_ae_title,
        address=by.address,
        status=f"0x{status:04X}",
    )
