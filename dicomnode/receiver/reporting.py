"""Answers to storage commitment on an association of their own (PS3.4 J.3.3)."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from io import BytesIO

import structlog
from pydicom.uid import UID
from pynetdicom import AE, build_context, build_role, evt
from pynetdicom.association import Association
from pynetdicom.dimse_primitives import N_EVENT_REPORT
from pynetdicom.dsutils import encode
from pynetdicom.events import Event
from pynetdicom.presentation import PresentationContext, PresentationContextTuple

from dicomnode import storage_commitment
from dicomnode.domain.commitment import (
    PUSH_MODEL,
    PUSH_MODEL_INSTANCE,
    CommitmentAnswer,
)
from dicomnode.errors import ConfigError
from dicomnode.tls import ClientContext, TlsPeer, client_context, handshake_failed

_LOG = structlog.get_logger(__name__)
_THREADS = 4
_DELAYS_SECONDS = (0.0, 5.0, 30.0, 120.0)
_NO_PORT = (
    "it left before it took the answer, and its port is not known; set peer.port to "
    "where it takes answers, or let it ask again"
)
_NO_ANSWER = "it does not take the answer; check its address and peer.port"


@dataclass(frozen=True, slots=True)
class Listening:
    """Where a peer takes answers; ``tls``: how to encrypt them."""

    port: int
    tls: TlsPeer | None = None


@dataclass(frozen=True, slots=True)
class ReporterSettings:
    """Who we are, where peers listen (by AE title), and when to try again."""

    ae_title: str
    implementation_class_uid: str
    implementation_version_name: str
    listening: Mapping[str, Listening]
    delays_seconds: Sequence[float] = _DELAYS_SECONDS
    timeout_seconds: float = 30.0


def proposed() -> list[PresentationContext]:
    """The contexts of an association on which we report, as SCP."""
    return [build_context(PUSH_MODEL)]


class Reporter:
    """Calls peers back, in threads of its own; safe for many threads."""

    def __init__(self, settings: ReporterSettings) -> None:
        self.settings = settings
        self._stopped = threading.Event()
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="report")

    def report(self, answer: CommitmentAnswer, ae_title: str, address: str) -> None:
        """Tell the answer to a peer that has asked from ``address``; returns at once.

        A peer that cannot be told asks again, so nothing is kept beyond the delays.
        """
        listening = self.settings.listening.get(ae_title)
        if listening is None:
            _log_failed(answer, ae_title, address, _NO_PORT)
        elif not self._stopped.is_set():
            call = _Call(ae_title, address, listening)
            self._threads.submit(self._tell, answer, call)

    def stop(self) -> None:
        """End what waits; what is being told is finished."""
        self._stopped.set()
        self._threads.shutdown(cancel_futures=True)

    def _tell(self, answer: CommitmentAnswer, call: _Call) -> None:
        error = _NO_ANSWER
        for delay in self.settings.delays_seconds:
            if self._stopped.wait(delay):
                return
            error = self._told(answer, call)
            if not error:
                _LOG.info(
                    "receiver.commitment_told",
                    transaction_uid=answer.transaction_uid,
                    ae_title=call.ae_title,
                    address=call.address,
                )
                return
        _log_failed(answer, call.ae_title, call.address, error)

    def _told(self, answer: CommitmentAnswer, call: _Call) -> str:
        """Tell it once; why it has not been taken, with remedy, or nothing."""
        taken = _Taken()
        try:
            # Made anew each time, so that a renewed certificate is used at once.
            tls = call.context()
        except ConfigError as error:
            return str(error)
        association = self._entity().associate(
            call.address,
            call.listening.port,
            ae_title=call.ae_title,
            # We call, and yet are the one who provides the service.
            ext_neg=[build_role(PUSH_MODEL, scp_role=True)],
            evt_handlers=[
                (evt.EVT_DIMSE_RECV, taken.on_message),
                (evt.EVT_CONN_CLOSE, taken.on_close),
            ],
            tls_args=(tls, call.server_name) if tls else None,
        )
        if not association.is_established:
            failure = tls.failure if tls else ""
            return handshake_failed(failure, "peer") if failure else _NO_ANSWER
        try:
            _send(association, answer)
            well = taken.wait(self.settings.timeout_seconds)
            return "" if well else _NO_ANSWER
        finally:
            association.release()

    def _entity(self) -> AE:
        settings = self.settings
        entity = AE(settings.ae_title)
        entity.implementation_class_uid = settings.implementation_class_uid
        entity.implementation_version_name = settings.implementation_version_name
        for attribute in ("connection", "acse", "dimse", "network"):
            setattr(entity, f"{attribute}_timeout", settings.timeout_seconds)
        entity.requested_contexts = proposed()
        return entity


@dataclass(frozen=True, slots=True)
class _Call:
    """Whom to tell: it asked from ``address`` and takes answers where it listens."""

    ae_title: str
    address: str
    listening: Listening

    @property
    def server_name(self) -> str:
        """What its certificate must name."""
        tls = self.listening.tls
        return (tls.server_name if tls else "") or self.address

    def context(self) -> ClientContext | None:
        """To encrypt with; raises ConfigError."""
        tls = self.listening.tls
        return client_context(tls.files) if tls else None


class _Taken:
    """Whether the peer has answered our report with Success."""

    def __init__(self) -> None:
        self._ended = threading.Event()
        self._status: int | None = None

    def on_message(self, event: Event) -> None:
        """The one message that comes is the response."""
        self._status = event.message.command_set.get("Status")
        self._ended.set()

    def on_close(self, _event: Event) -> None:
        """The line is cut: no response will come."""
        self._ended.set()

    def wait(self, seconds: float) -> bool:
        """Until it has answered, or never will."""
        self._ended.wait(seconds)
        return self._status == 0x0000


def report_message(
    answer: CommitmentAnswer, context: PresentationContextTuple, message_id: int
) -> N_EVENT_REPORT:
    """The N-EVENT-REPORT-RQ with an answer."""
    syntax = UID(context.transfer_syntax)
    encoded = encode(
        storage_commitment.event_information(answer),
        syntax.is_implicit_VR,
        syntax.is_little_endian,
        syntax.is_deflated,
    )
    message = N_EVENT_REPORT()
    message.MessageID = message_id
    message.AffectedSOPClassUID = UID(PUSH_MODEL)
    message.AffectedSOPInstanceUID = UID(PUSH_MODEL_INSTANCE)
    message.EventTypeID = int(answer.event_type)
    message.EventInformation = BytesIO(encoded or b"")
    return message


def _send(association: Association, answer: CommitmentAnswer) -> None:
    (context,) = association.accepted_contexts
    as_tuple: PresentationContextTuple = context.as_tuple
    message = report_message(answer, as_tuple, message_id=1)
    association.dimse.send_msg(message, as_tuple.context_id)


def _log_failed(
    answer: CommitmentAnswer, ae_title: str, address: str, error: str
) -> None:
    _LOG.warning(
        "receiver.commitment_not_told",
        transaction_uid=answer.transaction_uid,
        ae_title=ae_title,
        address=address,
        error=error,
    )
