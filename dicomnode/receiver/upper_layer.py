"""Our subclass of pynetdicom's acceptor association: one thread, one C-STORE path.

All that the library may do stays with it: state machine, PDUs, negotiation, C-ECHO,
release, abort, and every C-STORE that is not plain.
"""

from __future__ import annotations

import socket
import threading
import time
from typing import TYPE_CHECKING, cast

import structlog
from pydicom.dataset import Dataset
from pynetdicom import evt
from pynetdicom.association import Association
from pynetdicom.dimse_primitives import C_STORE, N_ACTION, N_EVENT_REPORT
from pynetdicom.service_class import StorageServiceClass

from dicomnode.domain.commitment import PUSH_MODEL
from dicomnode.receiver.acceptance import Request
from dicomnode.receiver.arrival import Arrival
from dicomnode.receiver.command import StoreCommand
from dicomnode.receiver.commitment import CommitmentSession
from dicomnode.receiver.data_path import DataPath, Message
from dicomnode.receiver.messages import Messages
from dicomnode.receiver.negotiation import GatedACSE
from dicomnode.receiver.pattern import Pattern, User
from dicomnode.receiver.reactor import Reactor
from dicomnode.receiver.requests import Answer, StoreRequest
from dicomnode.receiver.services import Services
from dicomnode.receiver.sockets import GuardedSocket
from dicomnode.receiver.statuses import Status

if TYPE_CHECKING:
    from pynetdicom.ae import ApplicationEntity
    from pynetdicom.dimse_primitives import DimseServiceType
    from pynetdicom.presentation import PresentationContext
    from pynetdicom.transport import AddressInformation, AssociationServer

    from dicomnode.receiver.pattern import PatternServer

__all__ = ["AcceptedAssociation", "Services", "pattern_of"]

_LOG = structlog.get_logger(__name__)
# A peer with a smaller one gets its response from the library, in pieces.
_MIN_RESPONSE_PDU_BYTES = 1024


class AcceptedAssociation(Association):
    """An association that any storage SOP Class may use."""

    def __init__(
        self,
        server: PatternServer,
        services: Services,
        connection: socket.socket,
        local: AddressInformation,
        remote: AddressInformation,
    ) -> None:
        # Not by the library's constructor, see ``pattern``.
        pattern = server.pattern
        vars(self).update(pattern.association)
        self.requestor = User(self, pattern.requestor, remote)
        self.acceptor = User(self, pattern.acceptor, local)
        self._accepted_cx, self._rejected_cx = {}, []
        self._handlers = dict(self._handlers)
        self._reactor_checkpoint = threading.Event()
        self._reactor_checkpoint.set()
        self._server = cast("AssociationServer", server)
        self._crew = services.crew
        self._serves = False
        # The library finds its acceptors by this part of the name.
        self.name = f"AcceptorThread@{remote.address}:{remote.port}"
        self._gate = services.gate
        self._store = services.store
        self._session = (
            CommitmentSession(services.commitment) if services.commitment else None
        )
        self._offers_commitment = services.offers_commitment
        self.acse = self._gated = GatedACSE(self, services)
        self.dul = self._reactor = Reactor(self, pattern.dul, services.seen)
        self.dimse = self._messages = Messages(
            self, services.store.limits.max_instance_bytes, services.gathered
        )
        self._socket = GuardedSocket(
            self,
            connection,
            server.ae.maximum_pdu_size,
            services.deadline_seconds,
            services.buffers,
        )
        self.set_socket(self._socket)
        self._data_path = DataPath(self._socket, self, self._messages.most_bytes)
        self._n_stored = 0
        self._n_refused = 0
        self._n_bytes = 0
        self._is_serving = False

    @property
    def is_busy(self) -> bool:
        """Whether a message is arriving, waiting or being answered."""
        return (
            self._is_serving
            or self.dimse.message is not None
            or not self.dimse.msg_queue.empty()
        )

    def cut(self) -> None:
        """End it now, whatever the peer does."""
        self._socket.cut()

    def start(self) -> None:
        """Serve in a thread of the crew; raises RuntimeError when there is none."""
        self._serves = True
        try:
            self._crew.run(self._serve)
        except RuntimeError:
            self._serves = False
            raise

    def is_alive(self) -> bool:
        """Whether a thread serves it."""
        return self._serves

    def _serve(self) -> None:
        thread = threading.current_thread()
        before, thread.name = thread.name, self.name
        try:
            self.run_reactor()
        finally:
            thread.name = before
            self._serves = False

    def run_reactor(self) -> None:
        """Serve until release, abort or loss, then say how it went in one line."""
        began = time.perf_counter()
        try:
            super().run_reactor()
            # What another thread has asked for, an abort at most, is still to be done.
            self._reactor.finish()
        finally:
            # An error of ours must not leave a peer waiting.
            self.cut()
            self._reactor.close()
            self._messages.release()
            self._socket.release()
            if self._gated.entered:
                # It was noted with the first instance, unless there was none.
                self._gate.leave(self._requested, is_noted=self._n_stored > 0)
                self._log(time.perf_counter() - began)
                if self._session:
                    self._session.ended(self._requested)

    def _run_reactor(self) -> None:
        """Serve messages until the association ends (PS3.8 7.2 to 7.4)."""
        while not (self._kill or self._has_ended()):
            if self._may_stream() and self._stream():
                continue
            self._reactor.step()
            context_id, message = self.dimse.get_msg(block=False)
            if message and context_id is not None:
                self._serve_request(message, context_id)

    def _has_ended(self) -> bool:
        if self.acse.is_release_requested():
            self.acse.send_release(is_response=True)
            self.is_released, self.is_established = True, False
            evt.trigger(self, evt.EVT_RELEASED, {})
        elif self.acse.is_aborted() or not self._reactor.is_alive():
            self._reactor.receive_pdu()
            self.is_aborted, self.is_established = True, False
            evt.trigger(self, evt.EVT_ABORTED, {})
        elif self._reactor.idle_timer_expired():
            self.abort()
        else:
            return False
        self.kill()
        return True

    def _may_stream(self) -> bool:
        """Whether a message may begin, and nothing waits to be done before it."""
        return (
            self._reactor.is_at_rest
            and self.dimse.message is None
            and (not 0 < self.dimse.maximum_pdu_size < _MIN_RESPONSE_PDU_BYTES)
        )

    def _stream(self) -> bool:
        if not self._reactor.wait():
            return False
        self._is_serving = True
        try:
            return self._data_path.serve()
        finally:
            self._is_serving = False

    def agree(
        self,
        accepted: dict[int, PresentationContext],
        rejected: list[PresentationContext],
    ) -> None:
        """Take the presentation contexts, which nobody writes to any more."""
        self._accepted_cx, self._rejected_cx = dict(accepted), list(rejected)

    def begin(self, command: StoreCommand, context_id: int) -> Arrival | None:
        """What ``data_path.Surroundings`` asks for, as the others of that name."""
        context = self._accepted_cx.get(context_id)
        if context is None:
            return None
        request = self._store_request(
            command.sop_class_uid,
            command.sop_instance_uid,
            str(context.transfer_syntax[0]),
        )
        return self._store.begin(request, self._n_bytes)

    def answered(self, answer: Answer, n_bytes: int) -> None:
        """Count an instance and keep the association from being idle."""
        self._n_bytes += n_bytes
        refused = answer.status != Status.SUCCESS
        self._n_refused += refused
        self._n_stored += not refused
        self._reactor.note_traffic()

    def resume(self, message: Message) -> None:
        """Give the library the fragments that it would have read itself."""
        self._messages.resume(message.context_id, message.command_set, message.data_set)

    def give_up(self) -> None:
        """Abort: what has come cannot be given to the library."""
        self.abort()

    def _serve_request(self, msg: DimseServiceType, context_id: int) -> None:
        self._is_serving = True
        try:
            if isinstance(msg, N_EVENT_REPORT) and not msg.is_valid_request:
                self._note_response(msg)
            elif not msg.is_valid_request:
                # The library would not answer, and the peer would wait.
                self.abort()
            elif isinstance(msg, C_STORE):
                self._serve_c_store(msg, context_id)
            else:
                super()._serve_request(msg, context_id)
                if isinstance(msg, N_ACTION):
                    self._send_reports()
        finally:
            self._is_serving = False

    def _serve_c_store(self, msg: C_STORE, context_id: int) -> None:
        """Like the library, but for every SOP Class, known to it or not."""
        context = self._accepted_cx.get(context_id)
        if context is None:
            self.abort()
            return
        StorageServiceClass(self).SCP(msg, context)

    def _note_response(self, msg: N_EVENT_REPORT) -> None:
        if self._session is None:
            self.abort()
        else:
            self._session.answered(msg)

    def _send_reports(self) -> None:
        """What an N-ACTION asked for, right behind its response (PS3.4 J.3.3)."""
        if self._session is None or not self.is_established:
            return
        for message, context_id in self._session.reports():
            # Its response comes back through _serve_request, should it ever come.
            self.dimse.send_msg(message, context_id)

    def on_n_action(self, event: evt.Event) -> tuple[int, None]:
        """A request for storage commitment (PS3.4 J.3.2)."""
        session = self._session_for(event)
        if session is None:
            return Status.NOT_AUTHORISED, None
        may_ask = self._gated.granted.may_commit and self._offers_commitment
        return session.asked(event, self._requested, may_ask)

    def on_n_event_report(self, event: evt.Event) -> tuple[int, None]:
        """The answer to one of ours (PS3.4 J.3.3)."""
        session = self._session_for(event)
        if session is None:
            return Status.NOT_AUTHORISED, None
        return session.told(event, self._requested)

    def _session_for(self, event: evt.Event) -> CommitmentSession | None:
        # The context decides, not what the command claims: another may be deflated.
        is_commitment = event.context.abstract_syntax == PUSH_MODEL
        return self._session if is_commitment else None

    def on_c_store(self, event: evt.Event) -> Dataset:
        """A C-STORE that did not take the data path."""
        request = cast("C_STORE", event.request)
        data_set = request.DataSet.getbuffer() if request.DataSet else b""
        answer = self._store(
            self._store_request(
                str(request.AffectedSOPClassUID),
                str(request.AffectedSOPInstanceUID),
                str(event.context.transfer_syntax),
                data_set,
            ),
            self._n_bytes,
        )
        self.answered(answer, len(data_set))
        return _status(answer)

    def _store_request(
        self,
        sop_class_uid: str,
        sop_instance_uid: str,
        transfer_syntax_uid: str,
        data_set: bytes | memoryview = b"",
    ) -> StoreRequest:
        return StoreRequest(
            data_set=data_set,
            sop_class_uid=sop_class_uid,
            sop_instance_uid=sop_instance_uid,
            transfer_syntax_uid=transfer_syntax_uid,
            calling_ae_title=self._requested.calling_ae_title,
            called_ae_title=self._requested.called_ae_title,
            address=self._requested.address,
        )

    @property
    def _requested(self) -> Request:
        return cast("Request", self._gated.request)

    def _log(self, seconds: float) -> None:
        _LOG.info(
            "receiver.association",
            outcome="released" if self.is_released else "aborted",
            calling_ae_title=self._requested.calling_ae_title,
            called_ae_title=self._requested.called_ae_title,
            address=self._requested.address,
            n_accepted_contexts=len(self.accepted_contexts),
            n_rejected_contexts=len(self.rejected_contexts),
            n_stored=self._n_stored,
            n_refused=self._n_refused,
            seconds=round(seconds, 6),
        )


def pattern_of(ae: ApplicationEntity) -> Pattern:
    """What the associations of a server of ``ae`` have in common."""
    return Pattern(
        ae,
        {
            evt.EVT_C_STORE: lambda event: _of(event).on_c_store(event),
            evt.EVT_N_ACTION: lambda event: _of(event).on_n_action(event),
            evt.EVT_N_EVENT_REPORT: lambda event: _of(event).on_n_event_report(event),
        },
    )


def _of(event: evt.Event) -> AcceptedAssociation:
    return cast("AcceptedAssociation", event.assoc)


def _status(answer: Answer) -> Dataset:
    status = Dataset()
    status.Status = int(answer.status)
    if answer.comment:
        status.ErrorComment = answer.short_comment
    return status
