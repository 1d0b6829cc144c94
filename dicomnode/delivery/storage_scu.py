"""The C-STORE and C-ECHO service class user (PS3.4 B, A)."""

from __future__ import annotations

import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from time import perf_counter

from pydicom import dcmread
from pydicom.dataset import Dataset
from pynetdicom import AE, _config, evt
from pynetdicom.association import Association
from pynetdicom.events import Event
from pynetdicom.sop_class import Verification  # type: ignore[attr-defined]

from dicomnode.delivery import contexts, statuses
from dicomnode.delivery.held import reactor_held, wake_the_waiting
from dicomnode.domain.delivery import Outgoing, Sent
from dicomnode.errors import Refused, Unreachable
from dicomnode.ports import Clock
from dicomnode.version import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME

# pynetdicom's documented switch: send a file's data set byte for byte, in chunks,
# instead of decoding and encoding it again.
_config.STORE_SEND_CHUNKED_DATASET = True

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

    def __str__(self) -> str:
        return f"{self.ae_title}@{self.host}:{self.port}"


class StorageScu:
    """The Sender port over DIMSE; one association for each call of ``send``."""

    def __init__(self, peer: Peer, clock: Clock) -> None:
        self.peer = peer
        self._clock = clock

    def send(self, instances: Sequence[Outgoing]) -> Sequence[Sent]:
        """C-STORE each instance, in order; one answer for each.

        Raises Unreachable when no association came about.
        """
        return list(self.send_each(instances))

    def send_each(self, instances: Sequence[Outgoing]) -> Iterator[Sent]:
        """Like ``send``, each answer as it comes."""
        for number, group in enumerate(contexts.groups(instances)):
            try:
                yield from self._send_group(group)
            except Unreachable as error:
                if number == 0:
                    raise
                # The answers given so far stand; the others are tried again.
                yield from (self._answer(one, None, str(error)) for one in group)

    def echo(self) -> float:
        """C-ECHO (PS3.4 A.4): round-trip in seconds.

        Raises Unreachable, or Refused for a status other than Success.
        """
        ae = self._application_entity()
        ae.add_requested_context(Verification)
        with self._associated(ae) as association:
            start = perf_counter()
            status = _status_of(association.send_c_echo())
            elapsed = perf_counter() - start
        if status is None:
            raise Unreachable(f"{self.peer} gave no answer to C-ECHO; check its log")
        if status != 0x0000:
            raise Refused(f"{self.peer}: {statuses.explain(status)}", status)
        return elapsed

    def _send_group(self, group: Sequence[Outgoing]) -> Iterator[Sent]:
        keys = dict.fromkeys(key for one in group for key in contexts.keys_of(one))
        ae = self._application_entity()
        ae.requested_contexts = contexts.build(list(keys))
        with self._associated(ae) as association:
            for instance in group:
                yield self._send_one(association, instance)

    def _send_one(self, association: Association, instance: Outgoing) -> Sent:
        if not _is_alive(association):
            return self._answer(instance, None, _NO_ANSWER)
        try:
            status = _status_of(_store(association, instance))
        except ValueError:
            return self._answer(instance, 0x0122, _no_context(instance))
        except AttributeError:
            return self._answer(instance, 0xC000, _UNREADABLE)
        except RuntimeError:
            status = None
        if status is None:
            return self._answer(instance, None, _NO_ANSWER)
        accepted = statuses.is_accepted(status)
        return self._answer(
            instance, status, "" if accepted else statuses.explain(status)
        )

    def _answer(self, instance: Outgoing, status: int | None, error: str) -> Sent:
        return Sent(instance.sop_instance_uid, status, error, self._clock.now())

    def _application_entity(self) -> AE:
        ae = AE(ae_title=self.peer.calling_ae_title)
        ae.implementation_class_uid = IMPLEMENTATION_CLASS_UID
        ae.implementation_version_name = IMPLEMENTATION_VERSION_NAME
        ae.connection_timeout = self.peer.timeout_seconds
        ae.acse_timeout = self.peer.timeout_seconds
        ae.dimse_timeout = self.peer.timeout_seconds
        ae.network_timeout = self.peer.timeout_seconds
        return ae

    @contextmanager
    def _associated(self, ae: AE) -> Iterator[Association]:
        association = ae.associate(
            self.peer.host,
            self.peer.port,
            ae_title=self.peer.ae_title,
            evt_handlers=[
                (evt.EVT_CONN_OPEN, _without_nagle),
                (evt.EVT_CONN_CLOSE, wake_the_waiting),
            ],
        )
        if not association.is_established:
            raise Unreachable(f"{self.peer}: {self._why_not(association)}")
        with reactor_held(association):
            try:
                yield association
            finally:
                _end(association)

    def _why_not(self, association: Association) -> str:
        answer = association.acceptor.primitive
        if association.rejected_contexts:
            return "it accepts none of our SOP classes; enable them there"
        if not association.is_rejected or answer is None:
            return "no association; check host, port, firewall and that it runs"
        cause = (answer.result_source, answer.diagnostic)
        words = _REJECTIONS.get(cause, f"association rejected, cause {cause}")  # type: ignore[arg-type]
        return words.format(
            calling=self.peer.calling_ae_title, called=self.peer.ae_title
        )


_UNREADABLE = "the data set lacks its SOP UIDs; correct the file at its source"
_NO_ANSWER = "no answer to C-STORE; the association ended or timed out, we try again"


def _no_context(instance: Outgoing) -> str:
    return (
        f"the destination accepts no SOP class {instance.sop_class_uid} in transfer "
        f"syntax {instance.transfer_syntax_uid}; enable it there or choose another "
        f"destination.profile"
    )


def _store(association: Association, instance: Outgoing) -> Dataset:
    try:
        return association.send_c_store(instance.path)
    except ValueError:
        if instance.transfer_syntax_uid not in contexts.CONVERTIBLE:
            raise
    # The peer takes another uncompressed syntax only: encode the data set anew.
    return association.send_c_store(dcmread(instance.path))


def _end(association: Association) -> None:
    """Release; no thread stays behind even when Ctrl-C comes in the middle of it."""
    try:
        if _is_alive(association):
            association.release()
    finally:
        association.dul.kill_dul()


def _is_alive(association: Association) -> bool:
    return bool(association.is_established and not association.acse.is_aborted())


def _status_of(response: Dataset) -> int | None:
    return int(response.Status) if "Status" in response else None


def _without_nagle(event: Event) -> None:
    """Small PDUs must not wait for the peer's delayed acknowledgement."""
    connection = event.assoc.dul.socket
    if connection is not None and connection.socket is not None:
        connection.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
