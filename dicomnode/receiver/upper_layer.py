"""Our subclasses of pynetdicom's acceptor: negotiation and the C-STORE entry.

All that the library may do stays with it: state machine, PDUs, C-ECHO, release, abort.
Whatever replaces more of it (the reactors, the data path) belongs here too.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import structlog
from pydicom.dataset import Dataset
from pydicom.uid import UID
from pynetdicom import evt
from pynetdicom._globals import MODE_ACCEPTOR
from pynetdicom.acse import ACSE
from pynetdicom.association import Association
from pynetdicom.dimse_primitives import C_STORE, N_ACTION, N_EVENT_REPORT
from pynetdicom.pdu_primitives import A_ASSOCIATE
from pynetdicom.service_class import StorageServiceClass

from dicomnode.domain.commitment import PUSH_MODEL
from dicomnode.receiver.acceptance import Refuse, Request
from dicomnode.receiver.commitment import CommitmentScp, CommitmentSession
from dicomnode.receiver.contexts import supported
from dicomnode.receiver.gate import Gate
from dicomnode.receiver.handlers import Answer, StoreRequest
from dicomnode.receiver.sockets import GuardedSocket
from dicomnode.receiver.statuses import Status

if TYPE_CHECKING:
    from queue import Queue

    from pynetdicom.dimse_primitives import DimseServiceType
    from pynetdicom.transport import AddressInformation, AssociationServer

_LOG = structlog.get_logger(__name__)
_COMMENT_CHARACTERS = 64
_LIBRARY_LOG_EVENTS = (
    evt.EVT_DIMSE_RECV,
    evt.EVT_DIMSE_SENT,
    evt.EVT_PDU_RECV,
    evt.EVT_PDU_SENT,
)


@dataclass(frozen=True, slots=True)
class Services:
    """What every association of a server shares.

    ``deadline_seconds``: for each PDU of a peer, from its first byte to its last.
    ``commitment``: answers storage commitment; ``offers_commitment``: to everyone who
    may store, else only to destinations that report to us.
    """

    gate: Gate
    store: Callable[[StoreRequest], Answer]
    deadline_seconds: float
    commitment: CommitmentScp | None = None
    offers_commitment: bool = False


class _GatedACSE(ACSE):
    """Asks the gate before it negotiates, and supports what storage is proposed."""

    def __init__(self, association: Association, services: Services) -> None:
        super().__init__(association)
        self._gate = services.gate
        self._services = services
        self.request: Request | None = None
        self.entered = False
        self.may_store = False

    def negotiate_association(self) -> None:
        """Answer the A-ASSOCIATE-RQ (PS3.8 7.1.1)."""
        primitive = cast("A_ASSOCIATE", self.requestor.primitive)
        request = _request(primitive, str(self.requestor.address))
        self.request = request
        decision = self._gate.enter(request)
        if isinstance(decision, Refuse):
            self.send_reject(decision.result, decision.source, decision.diagnostic)
            evt.trigger(self.assoc, evt.EVT_REJECTED, {})
            self.assoc.kill()
            return
        self.entered, self.may_store = True, decision.may_store
        self.acceptor.supported_contexts = supported(
            primitive.presentation_context_definition_list,
            storage=self.may_store,
            commitment=self._takes_commitment(),
        )
        super().negotiate_association()
        # After the answer, so that the sender does not wait for the worklist.
        contexts = self.assoc.accepted_contexts
        reason = "" if contexts else "no proposed presentation context was acceptable"
        self._gate.record(request, reason=reason)

    def _takes_commitment(self) -> bool:
        if self._services.commitment is None:
            return False
        role = self.requestor.role_selection.get(UID(PUSH_MODEL))
        reports = not self.may_store or (role is not None and bool(role.scp_role))
        return self._services.offers_commitment or reports


class AcceptedAssociation(Association):
    """An association that any storage SOP Class may use."""

    def __init__(
        self,
        server: AssociationServer,
        services: Services,
        connection: socket.socket,
        local: AddressInformation,
        remote: AddressInformation,
    ) -> None:
        super().__init__(server.ae, MODE_ACCEPTOR)
        self._server = server
        # The library finds its acceptors by this part of the name.
        self.name = f"AcceptorThread@{remote.address}:{remote.port}"
        self._gate = services.gate
        self._store = services.store
        self._session = (
            CommitmentSession(services.commitment) if services.commitment else None
        )
        self._offers_commitment = services.offers_commitment
        self._gated = _GatedACSE(self, services)
        self.acse = self._gated
        self._socket = GuardedSocket(
            self, connection, server.ae.maximum_pdu_size, services.deadline_seconds
        )
        self.set_socket(self._socket)
        self._describe(server, local, remote)
        self._bind()
        self._n_stored = 0
        self._n_refused = 0
        self._is_serving = False

    def _describe(
        self,
        server: AssociationServer,
        local: AddressInformation,
        remote: AddressInformation,
    ) -> None:
        self.acceptor.maximum_length = server.ae.maximum_pdu_size
        self.acceptor.ae_title = server.ae_title
        self.acceptor.address_info = local
        self.acceptor.implementation_class_uid = server.ae.implementation_class_uid
        self.acceptor.implementation_version_name = (
            server.ae.implementation_version_name
        )
        self.requestor.address_info = remote

    def _bind(self) -> None:
        # The library would format every PDU and message for its debug log.
        for event in _LIBRARY_LOG_EVENTS:
            for bound in list(cast("list[Any]", self.get_handlers(event))):
                self.unbind(event, bound[0])
        self.bind(evt.EVT_C_STORE, self._on_c_store)
        self.bind(evt.EVT_N_ACTION, self._on_n_action)
        self.bind(evt.EVT_N_EVENT_REPORT, self._on_n_event_report)
        self.bind(evt.EVT_CONN_CLOSE, self._on_close)

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

    def run_reactor(self) -> None:
        """Serve until release, abort or loss, then say how it went in one line."""
        began = time.perf_counter()
        ended = False
        try:
            super().run_reactor()
            ended = True
        finally:
            if not ended:
                # An error of ours must not leave the library's second thread behind.
                self.cut()
            if self._gated.entered:
                self._gate.leave(self._requested)
                self._log(time.perf_counter() - began)
                if self._session:
                    self._session.ended(self._requested)

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
        self._is_paused = True
        StorageServiceClass(self).SCP(msg, context)
        self._is_paused = False

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

    def _on_n_action(self, event: evt.Event) -> tuple[int, None]:
        session = self._session_for(event)
        if session is None:
            return Status.NOT_AUTHORISED, None
        may_ask = self._gated.may_store and self._offers_commitment
        return session.asked(event, self._requested, may_ask)

    def _on_n_event_report(self, event: evt.Event) -> tuple[int, None]:
        session = self._session_for(event)
        if session is None:
            return Status.NOT_AUTHORISED, None
        return session.told(event, self._requested)

    def _session_for(self, event: evt.Event) -> CommitmentSession | None:
        # The context decides, not what the command claims: another may be deflated.
        is_commitment = event.context.abstract_syntax == PUSH_MODEL
        return self._session if is_commitment else None

    def _on_c_store(self, event: evt.Event) -> Dataset:
        request = cast("C_STORE", event.request)
        data_set = request.DataSet.getbuffer() if request.DataSet else b""
        answer = self._store(
            StoreRequest(
                data_set=data_set,
                sop_class_uid=str(request.AffectedSOPClassUID),
                sop_instance_uid=str(request.AffectedSOPInstanceUID),
                transfer_syntax_uid=str(event.context.transfer_syntax),
                calling_ae_title=self._requested.calling_ae_title,
                called_ae_title=self._requested.called_ae_title,
                address=self._requested.address,
            )
        )
        refused = answer.status != Status.SUCCESS
        self._n_refused += refused
        self._n_stored += not refused
        return _status(answer)

    def _on_close(self, _event: evt.Event) -> None:
        if self.requestor.primitive is None:
            # Closed before it asked for anything (a health probe): the thread waits
            # for a request, and ends at once on None, as after its time-out.
            cast("Queue[Any]", self.dul.to_user_queue).put(None)

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


def _request(primitive: A_ASSOCIATE, address: str) -> Request:
    return Request(
        called_ae_title=primitive.called_ae_title.strip(),
        calling_ae_title=primitive.calling_ae_title.strip(),
        address=address,
        application_context=str(primitive.application_context_name),
        abstract_syntaxes=frozenset(
            str(context.abstract_syntax)
            for context in primitive.presentation_context_definition_list
        ),
    )


def _status(answer: Answer) -> Dataset:
    status = Dataset()
    status.Status = int(answer.status)
    if answer.comment:
        # PS3.7 C: Error Comment, a LO of 64 characters in the default repertoire.
        comment = answer.comment.encode("ascii", "replace").decode().replace("\\", "/")
        status.ErrorComment = comment[:_COMMENT_CHARACTERS]
    return status
