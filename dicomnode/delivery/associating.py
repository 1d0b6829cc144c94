"""An association with a destination, or the reason why there is none, with remedy."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from typing import Any, cast

from pynetdicom import AE, evt
from pynetdicom.association import Association
from pynetdicom.dul import DULServiceProvider
from pynetdicom.events import Event
from pynetdicom.pdu_primitives import (
    A_ASSOCIATE,
    SCP_SCU_RoleSelectionNegotiation,
)
from pynetdicom.presentation import PresentationContext

from dicomnode.delivery.held import reactor_held, wake_the_waiting
from dicomnode.errors import ConfigError, NothingAccepted, Unreachable
from dicomnode.tls import ClientContext, TlsPeer, client_context, handshake_failed
from dicomnode.version import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME

_QUICK_ACKNOWLEDGEMENT = getattr(socket, "TCP_QUICKACK", None)  # Linux has it

_REJECTED = (1, 2)
"""Results of an A-ASSOCIATE-RJ: permanently, for the time being (PS3.8 9.3.4)."""

_REJECTIONS = {
    (1, 3): "our calling AE title is unknown there; add {calling} to its AE list",
    (1, 7): "it knows no called AE title {called}; correct destination.ae_title",
    (2, 1): "it is congested; nothing to do, we try again",
    (3, 1): "it is congested; nothing to do, we try again",
    (3, 2): "its limit of associations is reached; raise it there, we try again",
}
"""(source, diagnostic) of an A-ASSOCIATE-RJ (PS3.8 Table 9-21) -> words and remedy."""


@dataclass(frozen=True, slots=True)
class Peer:
    """Whom to associate with, as whom, and for how long to wait (seconds)."""

    ae_title: str
    host: str
    port: int
    calling_ae_title: str
    timeout_seconds: float = 30.0
    tls: TlsPeer | None = None

    def __str__(self) -> str:
        return f"{self.ae_title}@{self.host}:{self.port}"


Handler = tuple[Any, Callable[[Event], Any]]
"""An event of pynetdicom and what to do on it."""


@contextmanager
def associated(
    peer: Peer,
    contexts: Sequence[PresentationContext],
    handlers: Sequence[Handler] = (),
    roles: Sequence[SCP_SCU_RoleSelectionNegotiation] = (),
) -> Iterator[Association]:
    """An established association whose messages are all ours to take.

    ``roles``: where we are not the SCU alone (PS3.7 D.3.3.4). Released at the
    end. Raises Unreachable, NothingAccepted.
    """
    # Made anew each time, so that a renewed certificate is used at once.
    tls = _tls(peer)
    ae = _application_entity(peer, contexts)
    with ExitStack() as ending:
        ending.callback(_end_reactors, ae)
        association = ae.associate(
            peer.host,
            peer.port,
            ae_title=peer.ae_title,
            evt_handlers=[
                (evt.EVT_CONN_OPEN, _without_nagle),
                (evt.EVT_DATA_SENT, _answered_at_once),
                (evt.EVT_CONN_CLOSE, wake_the_waiting),
                *handlers,
            ],
            ext_neg=list(roles),
            tls_args=(tls, peer.tls.server_name) if tls and peer.tls else None,
        )
        if not association.is_established:
            raise (
                _no_tls(peer, tls.failure)
                if tls and tls.failure
                else _why_not(peer, association)
            )
        with reactor_held(association) as served:
            try:
                yield association
            finally:
                served.close()
                _end(association)


def is_alive(association: Association) -> bool:
    """Whether something may still be sent over it."""
    return bool(association.is_established and not association.acse.is_aborted())


def _application_entity(peer: Peer, contexts: Sequence[PresentationContext]) -> AE:
    ae = AE(ae_title=peer.calling_ae_title)
    ae.implementation_class_uid = IMPLEMENTATION_CLASS_UID
    ae.implementation_version_name = IMPLEMENTATION_VERSION_NAME
    ae.connection_timeout = peer.timeout_seconds
    ae.acse_timeout = peer.timeout_seconds
    ae.dimse_timeout = peer.timeout_seconds
    ae.network_timeout = peer.timeout_seconds
    ae.requested_contexts = list(contexts)
    return ae


def _tls(peer: Peer) -> ClientContext | None:
    try:
        return client_context(peer.tls.files) if peer.tls else None
    except ConfigError as error:
        raise Unreachable(f"{peer}: {error}") from error


def _no_tls(peer: Peer, failure: str) -> Unreachable:
    return Unreachable(f"{peer}: {handshake_failed(failure, 'destination')}")


def answer_to(association: Association) -> A_ASSOCIATE | None:
    """What the peer has said to our request for this association, if anything.

    A peer may reject and close before the library looks whether it is connected; then
    that takes the connection to have failed, and leaves the answer where it came.
    """
    answer: Any = association.acceptor.primitive
    while answer is None:
        came: Any = association.dul.receive_pdu(wait=False)
        if came is None or isinstance(came, A_ASSOCIATE):
            return came
    return cast("A_ASSOCIATE", answer)


def _why_not(peer: Peer, association: Association) -> Unreachable:
    answer = answer_to(association)
    if association.rejected_contexts:
        words = "it accepts none of our SOP classes; enable them there"
        return NothingAccepted(f"{peer}: {words}")
    if answer is None or answer.result not in _REJECTED:
        words = "no association; check host, port, firewall and that it runs"
        return Unreachable(f"{peer}: {words}")
    cause = (answer.result_source, answer.diagnostic)
    unknown = f"association rejected, cause {cause}; read its log"
    words = _REJECTIONS.get(cause, unknown)  # type: ignore[arg-type]  # ints by now
    filled = words.format(calling=peer.calling_ae_title, called=peer.ae_title)
    return Unreachable(f"{peer}: {filled}")


def _end_reactors(ae: AE) -> None:
    """End what ``ae``, used for one association, has started.

    Ctrl-C in the middle of a request leaves the library's reactor running, and as that
    thread is no daemon the process would never end.
    """
    for thread in threading.enumerate():
        if isinstance(thread, DULServiceProvider) and thread.assoc.ae is ae:
            thread.kill_dul()


def _end(association: Association) -> None:
    """Release; no thread stays behind even when Ctrl-C comes in the middle of it."""
    try:
        if is_alive(association):
            association.release()
    finally:
        association.dul.kill_dul()


def _without_nagle(event: Event) -> None:
    """Small PDUs must not wait for the peer's delayed acknowledgement."""
    _set_option(event, socket.TCP_NODELAY)


def _answered_at_once(event: Event) -> None:
    """The peer's answer must not wait for ours, either.

    A peer with Nagle's algorithm on, as most have, keeps the second part of an answer
    until we have acknowledged the first: 40 ms, for the first report over each
    association. Asked for with all that is sent, because the kernel forgets it.
    """
    if _QUICK_ACKNOWLEDGEMENT is not None:
        with suppress(OSError):  # it has just been closed, which others will find
            _set_option(event, _QUICK_ACKNOWLEDGEMENT)


def _set_option(event: Event, option: int) -> None:
    connection = event.assoc.dul.socket
    if connection is not None and connection.socket is not None:
        connection.socket.setsockopt(socket.IPPROTO_TCP, option, 1)
