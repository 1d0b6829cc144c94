"""The lobby: one thread accepts all connections and waits with them for their request.

A connection costs a descriptor and a small object until its A-ASSOCIATE-RQ is here, and
only then threads. So whoever connects and says nothing, or says it slowly, holds up
nobody, and when the lobby is full the one who has waited longest leaves.
"""

from __future__ import annotations

import selectors
import socket
import ssl
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import ip_network
from itertools import islice

import structlog

from dicomnode.receiver.guests import (
    EncryptedGuest,
    Guest,
    LeftError,
    PassedOnGuest,
    RemoteAddress,
    TurnedAwayError,
    Wants,
)
from dicomnode.receiver.listening import plain
from dicomnode.receiver.throttle import Throttle

_LOG = structlog.get_logger(__name__)
_EVENTS = {Wants.READ: selectors.EVENT_READ, Wants.WRITE: selectors.EVENT_WRITE}
_NAP_SECONDS = 0.02
_ACCEPT_NAP_SECONDS = 0.2
_ACCEPTED_AT_ONCE = 64
# What an association needs, and a file or two that it writes.
_SPARE_DESCRIPTORS = 8
_DRAINED_BYTES = 64 * 1024

_Context = Callable[[], ssl.SSLContext] | None


@dataclass(frozen=True, slots=True)
class LobbyLimits:
    """``request_timeout_seconds``: from the connection until its A-ASSOCIATE-RQ is
    whole, TLS handshake included (ARTIM, PS3.8 9.1.5). The others count connections
    that wait for it, of one address or all. ``proxy_protocol_from``: addresses and
    networks of balancers, which say first whose connection they pass on.
    """

    request_timeout_seconds: float = 5.0
    max_connections: int = 512
    max_connections_per_address: int = 64
    proxy_protocol_from: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Door:
    """A listening socket; ``context`` gives the TLS of a new connection, if any."""

    listener: socket.socket
    context: Callable[[], ssl.SSLContext] | None = None


class Lobby:
    """Waits with connections. ``admit`` takes a guest whose request is here.

    ``admit`` may raise TurnedAwayError. ``tell`` takes address and error of each that
    was turned away. Neither may wait.
    """

    def __init__(
        self,
        doors: Sequence[Door],
        limits: LobbyLimits,
        admit: Callable[[Guest], None],
        tell: Callable[[str, TurnedAwayError], None],
    ) -> None:
        self._limits = limits
        self._admit = admit
        self._tell = tell
        self._selector = selectors.DefaultSelector()
        # In the order of arrival, which is that of their deadlines.
        self._guests: dict[Guest, None] = {}
        self._n_of: Counter[str] = Counter()
        self._naps: list[Guest] = []
        self._closed_doors: list[Door] = []
        self._open_at = 0.0
        self._may_complain = Throttle()
        self._balancers = [ip_network(one) for one in limits.proxy_protocol_from]
        for door in doors:
            self._selector.register(door.listener, selectors.EVENT_READ, door)

    def __len__(self) -> int:
        """How many wait."""
        return len(self._guests)

    def serve(self, wait_seconds: float) -> None:
        """One round: whoever has something to say is heard, whoever is late leaves."""
        timeout = min(wait_seconds, _NAP_SECONDS) if self._naps else wait_seconds
        for key, _ in self._selector.select(timeout):
            if isinstance(key.data, Door):
                self._let_in(key.data)
            else:
                self._hear(key.data)
        napping, self._naps = self._naps, []
        for guest in napping:
            if guest in self._guests:
                self._hear(guest)
        self._show_out_the_late()
        self._reopen()

    def close(self) -> None:
        """Everyone leaves; the doors are closed by who opened them."""
        for guest in list(self._guests):
            self._leave(guest)
        self._selector.close()

    def _let_in(self, door: Door) -> None:
        for _ in range(_ACCEPTED_AT_ONCE):
            try:
                connection, address = door.listener.accept()
            except BlockingIOError:
                return
            except OSError as error:
                # Too many open files (EMFILE), no memory, or gone before accepted.
                self._cannot_accept(door, error)
                return
            self._seat(door, connection, address)

    def _cannot_accept(self, door: Door, error: OSError) -> None:
        if self._may_complain.passes(error.errno) is not None:
            _LOG.error(
                "receiver.cannot_accept",
                error=error.strerror,
                remedy="raise the limit of open files (LimitNOFILE of the service)",
            )
        if self._thin_out():
            return
        # The connection waits in the kernel; looking at once would only burn time.
        self._selector.unregister(door.listener)
        self._closed_doors.append(door)
        self._open_at = time.monotonic() + _ACCEPT_NAP_SECONDS

    def _thin_out(self) -> bool:
        """Those who have waited longest give their descriptors to those who work."""
        going = list(islice(self._guests, _SPARE_DESCRIPTORS))
        for guest in going:
            self._leave(guest)
        return bool(going)

    def _reopen(self) -> None:
        if self._closed_doors and time.monotonic() >= self._open_at:
            for door in self._closed_doors:
                self._selector.register(door.listener, selectors.EVENT_READ, door)
            self._closed_doors.clear()

    def _seat(
        self, door: Door, connection: socket.socket, address: tuple[object, ...]
    ) -> None:
        make = _passed_on if self._is_balancer(str(address[0])) else _guest
        self._welcome(make, door.context, connection, address)

    def _is_balancer(self, address: str) -> bool:
        return any(plain(address) in one for one in self._balancers)

    def _welcome(
        self,
        make: Callable[[_Context, socket.socket, RemoteAddress, float], Guest],
        context: _Context,
        connection: socket.socket,
        address: RemoteAddress,
    ) -> None:
        ends_at = time.monotonic() + self._limits.request_timeout_seconds
        try:
            guest = make(context, connection, address, ends_at)
        except OSError:
            connection.close()
            return
        self._make_room(guest.neighbourhood)
        self._guests[guest] = None
        self._n_of[guest.neighbourhood] += 1
        self._hear(guest)

    def _make_room(self, neighbourhood: str) -> None:
        limits = self._limits
        if self._n_of[neighbourhood] >= limits.max_connections_per_address:
            self._leave(self._longest_waiting(neighbourhood))
        elif len(self._guests) >= limits.max_connections:
            ((crowd, _),) = self._n_of.most_common(1)
            self._leave(self._longest_waiting(crowd))

    def _longest_waiting(self, neighbourhood: str) -> Guest:
        return next(one for one in self._guests if one.neighbourhood == neighbourhood)

    def _hear(self, guest: Guest) -> None:
        try:
            wants = guest.advance()
            if wants is not Wants.NOTHING:
                self._await(guest, wants)
            elif isinstance(guest, PassedOnGuest):
                # It begins anew, as whom it connects for.
                self._forget(guest)
                self._welcome(_guest, guest.context, guest.connection, guest.address)
            else:
                self._hand_over(guest)
        except TurnedAwayError as error:
            self._turn_away(guest, error)
        except (LeftError, OSError):
            self._leave(guest)

    def _await(self, guest: Guest, wants: Wants) -> None:
        connection = guest.connection
        is_registered = connection in self._selector.get_map()
        if wants is Wants.TIME:
            self._naps.append(guest)
            if is_registered:
                self._selector.unregister(connection)
        elif not is_registered:
            self._selector.register(connection, _EVENTS[wants], guest)
        elif self._selector.get_key(connection).events != _EVENTS[wants]:
            self._selector.modify(connection, _EVENTS[wants], guest)

    def _hand_over(self, guest: Guest) -> None:
        self._forget(guest)
        try:
            try:
                self._admit(guest)
            except OSError:
                # An association has descriptors of its own.
                self._thin_out()
                self._admit(guest)
        except TurnedAwayError as error:
            self._tell(str(guest.address[0]), error)
            _end(guest.connection, error.answer)

    def _turn_away(self, guest: Guest, error: TurnedAwayError) -> None:
        self._forget(guest)
        self._tell(str(guest.address[0]), error)
        _end(guest.connection, error.answer)

    def _leave(self, guest: Guest) -> None:
        self._forget(guest)
        _end(guest.connection, b"")

    def _forget(self, guest: Guest) -> None:
        if guest not in self._guests:
            return
        del self._guests[guest]
        self._n_of[guest.neighbourhood] -= 1
        if not self._n_of[guest.neighbourhood]:
            del self._n_of[guest.neighbourhood]
        if guest.connection in self._selector.get_map():
            self._selector.unregister(guest.connection)

    def _show_out_the_late(self) -> None:
        now = time.monotonic()
        while self._guests:
            guest = next(iter(self._guests))
            if now < guest.ends_at:
                return
            try:
                error = guest.late()
            except OSError:
                error = None
            if error is None:
                self._leave(guest)
            else:
                self._turn_away(guest, error)


def _guest(
    context: _Context, connection: socket.socket, address: RemoteAddress, ends_at: float
) -> Guest:
    if context is None:
        return Guest(connection, address, ends_at)
    return EncryptedGuest(connection, address, ends_at, context())


def _passed_on(
    context: _Context, connection: socket.socket, address: RemoteAddress, ends_at: float
) -> Guest:
    return PassedOnGuest(connection, address, ends_at, context)


def _end(connection: socket.socket, answer: bytes) -> None:
    """Close it; what it had sent is taken, or it gets a reset instead of the answer."""
    with suppress(OSError):
        connection.setblocking(False)
        if answer:
            connection.send(answer)
        if not isinstance(connection, ssl.SSLSocket):
            connection.recv(_DRAINED_BYTES)
    with suppress(OSError):
        connection.shutdown(socket.SHUT_WR)
    with suppress(OSError):
        connection.close()
