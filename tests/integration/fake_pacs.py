"""A destination that behaves as badly as a test wants, on a real association."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from pydicom.dataset import Dataset
from pynetdicom import AE, build_role, evt
from pynetdicom.events import Event
from pynetdicom.sop_class import (  # type: ignore[attr-defined]
    StorageCommitmentPushModel,
    StudyRootQueryRetrieveInformationModelFind,
)

from dicomnode import storage_commitment
from dicomnode.delivery.associating import Peer
from dicomnode.domain.commitment import (
    PUSH_MODEL_INSTANCE,
    CommitmentAnswer,
    CommitmentRequest,
    Failed,
    FailureReason,
)
from tests.integration.receiving import undisturbed

COMPREHENSIVE_3D = "1.2.840.10008.5.1.4.1.1.88.34"
COMPREHENSIVE = "1.2.840.10008.5.1.4.1.1.88.33"
ENHANCED = "1.2.840.10008.5.1.4.1.1.88.22"
BASIC_TEXT = "1.2.840.10008.5.1.4.1.1.88.11"
CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
EVERYTHING = (COMPREHENSIVE_3D, COMPREHENSIVE, ENHANCED, BASIC_TEXT, CAPTURE)

AE_TITLE = "PACS"
HANG_SECONDS = 120


@dataclass
class FakePacs:
    """Keeps what it is sent, and whatever the test has it do besides.

    ``stored``: SOP Instance UID -> encoded data set. ``on_store``: called with each
    C-STORE before it is kept, its status counts; ``on_stored`` after it.
    ``rejection``: (result, source, diagnostic) of every association; ``on_request`` is
    called with each, ``on_action`` with each N-ACTION before it is answered.
    """

    accepts: tuple[str, ...] = EVERYTHING
    commitment: bool = True
    find: bool = True
    rejection: tuple[int, int, int] | None = None
    on_store: Callable[[Event], int] = lambda _event: 0x0000
    on_stored: Callable[[Event], None] = lambda _event: None
    answers: Callable[[FakePacs, Event, CommitmentRequest], None] | None = None
    action_status: int = 0x0000
    on_request: Callable[[], None] = lambda: None
    on_action: Callable[[], None] = lambda: None
    stored: dict[str, Dataset] = field(default_factory=dict)
    n_stores: int = 0
    n_released: int = 0
    requests: list[CommitmentRequest] = field(default_factory=list)
    taken: list[int] = field(default_factory=list)
    port: int = 0
    _answering: list[threading.Thread] = field(default_factory=list)

    def peer(self, timeout_seconds: float = HANG_SECONDS) -> Peer:
        return Peer(AE_TITLE, "127.0.0.1", self.port, "DICOMNODE", timeout_seconds)

    def answer_to(self, request: CommitmentRequest) -> CommitmentAnswer:
        """The truth: what is stored is committed, the rest is not there."""
        there = [i for i in request.instances if i.sop_instance_uid in self.stored]
        gone = [i for i in request.instances if i.sop_instance_uid not in self.stored]
        failed = tuple(Failed(one, FailureReason.NO_SUCH_INSTANCE) for one in gone)
        return CommitmentAnswer(request.transaction_uid, tuple(there), failed)

    def tell_on(self, association: Any, answer: CommitmentAnswer) -> int | None:
        """N-EVENT-REPORT on this association; the status of its response."""
        with undisturbed(association):
            status, _ = association.send_n_event_report(
                storage_commitment.event_information(answer),
                answer.event_type,
                StorageCommitmentPushModel,
                PUSH_MODEL_INSTANCE,
            )
        self.taken.append(int(status.get("Status", -1)))
        return self.taken[-1]

    def tell(
        self, port: int, answer: CommitmentAnswer, calling: str = AE_TITLE
    ) -> int | None:
        """N-EVENT-REPORT on an association of its own to a receiver."""
        ae = AE(calling)
        ae.add_requested_context(StorageCommitmentPushModel)
        role = build_role(StorageCommitmentPushModel, scp_role=True)
        association = ae.associate(
            "127.0.0.1", port, ae_title="DICOMNODE", ext_neg=[role]
        )
        if not association.is_established:
            return None
        try:
            return self.tell_on(association, answer)
        finally:
            association.release()

    @contextmanager
    def running(self) -> Iterator[FakePacs]:
        """Listen on a free port."""
        ae = AE(AE_TITLE)
        for uid in self.accepts:
            ae.add_supported_context(uid)
        if self.commitment:
            ae.add_supported_context(StorageCommitmentPushModel)
        if self.find:
            ae.add_supported_context(StudyRootQueryRetrieveInformationModelFind)
        if not ae.supported_contexts:
            ae.add_supported_context("1.2.840.10008.5.1.1.9")  # print: nothing of ours
        handlers = [
            (evt.EVT_REQUESTED, self._on_request),
            (evt.EVT_C_STORE, self._on_store),
            (evt.EVT_C_FIND, self._on_find),
            (evt.EVT_N_ACTION, self._on_action),
            (evt.EVT_DIMSE_SENT, self._on_sent),
            (evt.EVT_RELEASED, self._on_released),
        ]
        server = ae.start_server(("127.0.0.1", 0), block=False, evt_handlers=handlers)
        self.port = server.server_address[1]
        try:
            yield self
        finally:
            for one in self._answering:
                one.join(HANG_SECONDS)
            server.shutdown()

    def _on_request(self, event: Event) -> None:
        self.on_request()
        if self.rejection:
            event.assoc.acse.send_reject(*self.rejection)
            event.assoc.kill()

    def _on_store(self, event: Event) -> int:
        self.n_stores += 1
        status = self.on_store(event)
        if status == 0x0000 or status >> 12 == 0xB:
            self.stored[str(event.request.AffectedSOPInstanceUID)] = event.dataset
        self.on_stored(event)
        return status

    def _on_find(self, event: Event) -> Iterable[tuple[int, Dataset | None]]:
        query = event.identifier
        found = self.stored.get(str(query.SOPInstanceUID))
        if found is not None and found.SeriesInstanceUID == query.SeriesInstanceUID:
            yield 0xFF00, query

    def _on_action(self, event: Event) -> tuple[int, None]:
        self.requests.append(storage_commitment.read_request(event.action_information))
        self.on_action()
        return self.action_status, None

    def _on_released(self, _event: Event) -> None:
        self.n_released += 1

    def _on_sent(self, event: Event) -> None:
        is_response = type(event.message).__name__ == "N_ACTION_RSP"
        if is_response and self.answers is not None:
            # The reactor waits for this handler: answer from a thread of its own.
            thread = threading.Thread(
                target=self.answers, args=(self, event, self.requests[-1])
            )
            self._answering.append(thread)
            thread.start()


def on_the_same_association(
    pacs: FakePacs, event: Event, request: CommitmentRequest
) -> None:
    """Answer truthfully where we were asked."""
    pacs.tell_on(event.assoc, pacs.answer_to(request))


@contextmanager
def listening_modality(
    tls: ssl.SSLContext | None = None,
) -> Iterator[tuple[int, list[CommitmentAnswer], threading.Event]]:
    """Takes answers on associations of their own: its port, and what came."""
    answers: list[CommitmentAnswer] = []
    came = threading.Event()

    def on_report(event: evt.Event) -> tuple[int, None]:
        answers.append(storage_commitment.read_answer(event.event_information))
        came.set()
        return 0x0000, None

    ae = AE("MODALITY")
    ae.add_supported_context(StorageCommitmentPushModel, scu_role=True, scp_role=True)
    handlers = [(evt.EVT_N_EVENT_REPORT, on_report)]
    server = ae.start_server(
        ("127.0.0.1", 0), block=False, evt_handlers=handlers, ssl_context=tls
    )
    try:
        yield server.server_address[1], answers, came
    finally:
        server.shutdown()
