"""Storage commitment as SCU, and the look by C-FIND (PS3.4 J, C).

Both over one association. The answer to a request may come on it, at any moment after
the request has gone out, or on an association of its own to our receiver.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from io import BytesIO

from pydicom.dataset import Dataset
from pydicom.uid import UID
from pynetdicom import build_context, evt
from pynetdicom.association import Association
from pynetdicom.dimse_messages import N_EVENT_REPORT_RSP
from pynetdicom.dimse_primitives import N_ACTION
from pynetdicom.dsutils import encode
from pynetdicom.events import Event
from pynetdicom.presentation import PresentationContext
from pynetdicom.sop_class import (  # type: ignore[attr-defined]
    StudyRootQueryRetrieveInformationModelFind,
)

from dicomnode import storage_commitment
from dicomnode.delivery.associating import Peer, associated, is_alive
from dicomnode.domain.commitment import (
    PUSH_MODEL,
    PUSH_MODEL_INSTANCE,
    REQUEST_COMMITMENT,
    CommitmentAnswer,
    CommitmentRequest,
    Unconfirmed,
)
from dicomnode.errors import Unreadable

LINGER_SECONDS = 1.0
"""How long an association stays open for an answer that comes on it."""

_FIND = str(StudyRootQueryRetrieveInformationModelFind)
_MESSAGE_ID = 1
_PENDING = (0xFF00, 0xFF01)  # PS3.4 Table C.4-1
_SUCCESS, _UNKNOWN_TRANSACTION = 0x0000, storage_commitment.INVALID_ARGUMENT

Note = Callable[[CommitmentAnswer], bool]
"""Takes an answer; False when it knows no such transaction."""


def proposed() -> list[PresentationContext]:
    """The contexts of an association that asks and looks."""
    return [build_context(PUSH_MODEL), build_context(_FIND)]


class CommitmentScu:
    """Asks one destination whether it keeps what it was sent."""

    def __init__(
        self, peer: Peer, note: Note, linger_seconds: float = LINGER_SECONDS
    ) -> None:
        self.peer = peer
        self._note = note
        self._linger_seconds = linger_seconds

    @contextmanager
    def opened(self) -> Iterator[Dialogue]:
        """An association to ask on. Raises Unreachable, NothingAccepted."""
        answered = threading.Event()

        def on_sent(event: Event) -> None:
            if isinstance(event.message, N_EVENT_REPORT_RSP):
                answered.set()

        # The library takes reports in a thread of its own.
        handlers = [
            (evt.EVT_N_EVENT_REPORT, self._on_report),
            (evt.EVT_DIMSE_SENT, on_sent),
        ]
        with associated(self.peer, proposed(), handlers) as association:
            yield Dialogue(
                association, answered, self._linger_seconds, self.peer.timeout_seconds
            )

    def _on_report(self, event: Event) -> tuple[int, None]:
        try:
            answer = storage_commitment.read_answer(event.event_information)
        except Unreadable as error:
            return error.status, None
        return (_SUCCESS if self._note(answer) else _UNKNOWN_TRANSACTION), None


class Dialogue:
    """One association with a destination, to ask and to look."""

    def __init__(
        self,
        association: Association,
        answered: threading.Event,
        linger_seconds: float,
        timeout_seconds: float,
    ) -> None:
        self._association = association
        self._answered = answered
        self._linger_seconds = linger_seconds
        self._timeout_seconds = timeout_seconds

    @property
    def offers_commitment(self) -> bool:
        """Whether the destination accepts requests for storage commitment."""
        return self._context(PUSH_MODEL) is not None

    @property
    def offers_find(self) -> bool:
        """Whether it can be looked for an instance."""
        return self._context(_FIND) is not None

    def ask(self, request: CommitmentRequest) -> int | None:
        """Request storage commitment: the status of the N-ACTION, None without one.

        Then waits a moment for the answer, should it come on this association.
        """
        context = self._context(PUSH_MODEL)
        if context is None or not is_alive(self._association):
            return None
        message = _n_action(request, context)
        self._association.dimse.send_msg(message, _id_of(context))
        status = self._status()
        if status == _SUCCESS:
            self._answered.wait(self._linger_seconds)
        return status

    def has(self, one: Unconfirmed) -> bool | None:
        """Whether C-FIND at instance level shows it; None when it does not tell."""
        if not (self.offers_find and is_alive(self._association)):
            return None
        found = False
        for status, identifier in self._association.send_c_find(_query(one), _FIND):
            code = status.get("Status")
            if code in _PENDING:
                found = found or _names(identifier, one)
            else:
                return found if code == _SUCCESS else None
        return None

    def _status(self) -> int | None:
        with suppress(queue.Empty):
            _, message = self._association.dimse.msg_queue.get(
                timeout=self._timeout_seconds
            )
            return getattr(message, "Status", None)
        return None

    def _context(self, sop_class_uid: str) -> PresentationContext | None:
        accepted = self._association.accepted_contexts
        return next((c for c in accepted if c.abstract_syntax == sop_class_uid), None)


def _n_action(request: CommitmentRequest, context: PresentationContext) -> N_ACTION:
    syntax = context.transfer_syntax[0]
    encoded = encode(
        storage_commitment.action_information(request),
        syntax.is_implicit_VR,
        syntax.is_little_endian,
        syntax.is_deflated,
    )
    message = N_ACTION()
    message.MessageID = _MESSAGE_ID
    message.RequestedSOPClassUID = UID(PUSH_MODEL)
    message.RequestedSOPInstanceUID = UID(PUSH_MODEL_INSTANCE)
    message.ActionTypeID = REQUEST_COMMITMENT
    message.ActionInformation = BytesIO(encoded or b"")
    return message


def _id_of(context: PresentationContext) -> int:
    return int(context.context_id or 0)


def _query(one: Unconfirmed) -> Dataset:
    # The unique keys of every level above are needed (PS3.4 C.4.1.2.2.1).
    query = Dataset()
    query.QueryRetrieveLevel = "IMAGE"
    query.StudyInstanceUID = one.study_instance_uid
    query.SeriesInstanceUID = one.series_instance_uid
    query.SOPInstanceUID = one.sop_instance_uid
    return query


def _names(identifier: Dataset | None, one: Unconfirmed) -> bool:
    if identifier is None:
        return False
    return str(identifier.get("SOPInstanceUID", "")) == one.sop_instance_uid
