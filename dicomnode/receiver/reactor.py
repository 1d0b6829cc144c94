"""pynetdicom's upper layer, run by the thread that serves the association.

The library runs the state machine of PS3.8 9.2 in a thread of its own, which looks for
work every millisecond, and serves messages in another, which does the same. Here there
is one thread, and it sleeps in ``poll`` until the peer or another thread has something.
The state machine, its actions, PDUs and timers are the library's.
"""

from __future__ import annotations

import os
import queue
import select
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any, cast

from pynetdicom import evt
from pynetdicom.dul import DULServiceProvider
from pynetdicom.fsm import InvalidEventError, StateMachine
from pynetdicom.timer import Timer

from dicomnode.receiver.queued import Queued
from dicomnode.receiver.requests_seen import SeenRequest, SeenRequests
from dicomnode.receiver.sockets import GuardedSocket

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pynetdicom.association import Association

_FOR_EVER_SECONDS = 3600.0
_A_ASSOCIATE_RQ = b"\x01"


class Reactor(DULServiceProvider):
    """The DUL of an acceptor association; its thread calls ``step`` again and again."""

    def __init__(
        self, association: Association, like: Mapping[str, Any], seen: SeenRequests
    ) -> None:
        # Not by its constructor, which makes a thread for what has none here.
        vars(self).update(like)
        self._assoc = association
        self.event_queue = cast("queue.Queue[str]", Queued())
        self.to_provider_queue = cast("queue.Queue[Any]", Queued())
        self.to_user_queue = cast("queue.Queue[Any]", Queued())
        self._recv_pdu = cast("queue.Queue[Any]", Queued())
        self.artim_timer = Timer(association.acse_timeout)
        self._idle_timer = Timer(association.network_timeout)
        self.state_machine = StateMachine(self)
        self._seen = seen
        self._owner: threading.Thread | None = None
        self.asked: SeenRequest | None = None
        self._bell = _Bell()
        self._waiting = select.poll()

    @property
    def connection(self) -> GuardedSocket:
        """The socket, of which only this thread reads."""
        return cast("GuardedSocket", self.socket)

    def start(self) -> None:
        """Make the calling thread the reactor's; there is no other."""
        self._owner = threading.current_thread()
        self._waiting.register(self._bell.fd, select.POLLIN)
        if self.connection.socket is not None:
            self._waiting.register(self.connection.socket, select.POLLIN)
        self._idle_timer.start()
        # The library waits for this when it has started its thread.
        self.assoc._dul_ready.set()  # noqa: SLF001  # a subclass of the library's DUL

    def is_alive(self) -> bool:
        """Whether the state machine goes on."""
        return self._owner is not None and not self._kill_thread

    @property
    def is_at_rest(self) -> bool:
        """Whether messages may begin (Sta6, PS3.8 9.2) and nothing waits to be done."""
        return (
            self.state_machine.current_state == "Sta6"
            and self.event_queue.empty()
            and self.to_provider_queue.empty()
            and self.to_user_queue.empty()
        )

    def note_traffic(self) -> None:
        """The peer has sent something that did not come by ``step``."""
        self._idle_timer.restart()

    def step(self) -> None:
        """Wait for something to happen, and let the state machine act on it."""
        if self.event_queue.empty() and self.to_provider_queue.empty():
            self.wait()
        # PS3.8 9.1.5: ARTIM, ahead of whatever else has come.
        if self.artim_timer.expired:
            self.event_queue.put("Evt18")
        if self.state_machine.current_state == "Sta13":
            # An abort that another thread asks for comes too late, and PS3.8 9.2 knows
            # no action for it: the connection is about to be closed anyway.
            self._drop_primitives()
        # A primitive of ours first; it stays in its queue until the action takes it.
        if not self._process_recv_primitive() and self._is_transport_event():
            self._idle_timer.restart()
        try:
            event = self.event_queue.get_nowait()
        except queue.Empty:
            return
        try:
            self.state_machine.do_action(event)
        except (InvalidEventError, ValueError):
            # PS3.8 Table 9-10 has no such arrow, or the PDU has a parameter that is
            # none, as an A-ABORT of an unknown source: end it.
            self.connection.cut()
            self.kill_dul()

    def _drop_primitives(self) -> None:
        with suppress(queue.Empty):
            while True:
                self.to_provider_queue.get_nowait()

    def receive_pdu(self, wait: bool = False, timeout: float | None = None) -> Any:
        """A primitive for the service user, or None once there will be none."""
        if wait and threading.current_thread() is self._owner:
            ends_at = time.monotonic() + (timeout or _FOR_EVER_SECONDS)
            while self.to_user_queue.empty() and self.is_alive():
                if time.monotonic() >= ends_at:
                    break
                self.step()
            wait = False
        return super().receive_pdu(wait, timeout)

    def send_pdu(self, primitive: Any) -> None:
        """Queue a primitive, and wake the reactor if another thread does so."""
        super().send_pdu(primitive)
        if threading.current_thread() is not self._owner:
            self._bell.ring()

    def stop_dul(self) -> bool:
        """Whether the state machine has come to rest in Sta1; helps it to."""
        if threading.current_thread() is self._owner:
            self.finish()
        return super().stop_dul()

    def finish(self) -> None:
        """Step until the connection is closed (Sta1): by the peer, us, or ARTIM."""
        while self.is_alive() and self.state_machine.current_state != "Sta1":
            self.step()
        self._kill_thread = True

    def close(self) -> None:
        """Free what the reactor holds; nothing may wait in it any more."""
        self._kill_thread = True
        self._bell.close()

    def _decode_pdu(self, bytestream: bytearray) -> tuple[Any, str]:
        if not bytestream.startswith(_A_ASSOCIATE_RQ):
            return super()._decode_pdu(bytestream)
        encoded = bytes(bytestream)
        evt.trigger(self.assoc, evt.EVT_DATA_RECV, {"data": encoded})
        request = self.asked = self._seen.decoded(encoded)
        evt.trigger(self.assoc, evt.EVT_PDU_RECV, {"pdu": request})
        # PS3.8 9.2.2: A-ASSOCIATE-RQ PDU received.
        return request, "Evt6"

    @property
    def may_accept(self) -> bool:
        """Whether an A-ASSOCIATE-AC is what comes next (Sta3, PS3.8 9.2)."""
        return (
            self.state_machine.current_state == "Sta3"
            and self.event_queue.empty()
            and self.to_provider_queue.empty()
        )

    def accept(self, encoded: bytes) -> None:
        """AE-7 (PS3.8 Table 9-7) with an A-ASSOCIATE-AC that was encoded before."""
        self.connection.send(encoded)
        self.state_machine.transition("Sta6")

    def wait(self) -> bool:
        """Until the peer or another thread has something, or a timer expires.

        True: the peer has, or has closed the connection.
        """
        if self.connection.has_pending:
            return True
        # In Sta13 the library reads on, or closes as soon as nothing more comes.
        if self.state_machine.current_state == "Sta13":
            return False
        seconds = _left_seconds(self.artim_timer)
        if self.assoc.is_established:
            # Whoever has established it looks after what happens then.
            seconds = min(seconds, _left_seconds(self._idle_timer))
        found = self._waiting.poll(max(0.0, seconds) * 1000 + 1)
        self._bell.silence()
        return any(fd != self._bell.fd for fd, _ in found)


def _left_seconds(timer: Timer) -> float:
    return timer.remaining if timer.timeout is not None else _FOR_EVER_SECONDS


class _Bell:
    """Wakes a thread that sleeps in ``poll``; safe for many threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._is_rung = False

    def ring(self) -> None:
        with self._lock:
            if not self._is_rung and self.fd >= 0:
                os.eventfd_write(self.fd, 1)
                self._is_rung = True

    def silence(self) -> None:
        if self._is_rung:
            with self._lock:
                os.eventfd_read(self.fd)
                self._is_rung = False

    def close(self) -> None:
        with self._lock:
            if self.fd >= 0:
                os.close(self.fd)
            self.fd = -1
