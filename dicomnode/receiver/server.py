"""The listening sockets, the lobby before them, and the associations behind it."""

from __future__ import annotations

import math
import socket
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field

import structlog
from pynetdicom.ae import ApplicationEntity

from dicomnode.receiver.guests import CONGESTED, Guest, TurnedAwayError
from dicomnode.receiver.lobby import Door, Lobby, LobbyLimits
from dicomnode.receiver.pattern import Address
from dicomnode.receiver.throttle import Throttle
from dicomnode.receiver.upper_layer import AcceptedAssociation, Services, pattern_of

_LOG = structlog.get_logger(__name__)
_ADVICE = "raise receiver.max_associations, or find out who asks so often"
_MAX_UNTOLD = 64


@dataclass(frozen=True, slots=True)
class ServerLimits:
    """``max_associations``: with their threads, also those about to be rejected.

    ``max_association_seconds``: how long one may last; 0 for ever.
    """

    max_associations: int
    max_association_seconds: float = 0
    lobby: LobbyLimits = field(default_factory=LobbyLimits)


class StorageServer:
    """Accepts connections and knows the associations on them.

    ``doors`` are closed after ``close``.
    """

    def __init__(
        self,
        ae: ApplicationEntity,
        doors: Sequence[Door],
        services: Services,
        limits: ServerLimits,
    ) -> None:
        self.ae = ae
        self.ae_title = ae.ae_title
        self.services = services
        self.pattern = pattern_of(ae)
        self._limits = limits
        self._doors = tuple(doors)
        self._lobby = Lobby(self._doors, limits.lobby, self._admit, self._tell)
        self._began: dict[AcceptedAssociation, float] = {}
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        self._may_tell = Throttle()
        # Telling the worklist and ending associations take time that the lobby has not.
        self._aside = ThreadPoolExecutor(1, thread_name_prefix="aside")
        self._n_untold = 0

    def serve_forever(
        self, poll_seconds: float, turned: Callable[[], None] = lambda: None
    ) -> None:
        """Accept connections until ``close``; ``turned`` is called at every turn."""
        try:
            while not self._stopped.is_set():
                turned()
                self._lobby.serve(poll_seconds)
                self._end_the_longest()
        finally:
            self._lobby.close()
            for door in self._doors:
                door.listener.close()

    def living(self) -> tuple[AcceptedAssociation, ...]:
        """The associations whose threads are running."""
        with self._lock:
            self._began = {
                one: began for one, began in self._began.items() if one.is_alive()
            }
            return tuple(self._began)

    def shutdown_request(self, connection: socket.socket) -> None:
        """Close a connection; the library does so at the end of each association."""
        with suppress(OSError):
            connection.shutdown(socket.SHUT_WR)
        connection.close()

    def close(self) -> None:
        """Stop accepting; associations go on."""
        self._stopped.set()
        self._aside.shutdown(wait=False, cancel_futures=True)

    def _admit(self, guest: Guest) -> None:
        if len(self.living()) >= self._limits.max_associations:
            raise TurnedAwayError("too many associations at once", _ADVICE, CONGESTED)
        connection = guest.connection
        connection.settimeout(self.services.deadline_seconds)
        association = AcceptedAssociation(
            self,
            self.services,
            connection,
            Address.from_tuple(connection.getsockname()),
            Address.from_tuple(guest.address),
        )
        try:
            association.start()
        except RuntimeError as error:
            # The system gives no more threads; the next one may find it better.
            raise TurnedAwayError(str(error), _ADVICE, CONGESTED) from error
        with self._lock:
            self._began[association] = time.monotonic()

    def _tell(self, address: str, error: TurnedAwayError) -> None:
        n_held = self._may_tell.passes(address)
        if n_held is None:
            return
        _LOG.warning(
            "receiver.turned_away",
            address=address,
            reason=error.reason,
            remedy=error.remedy,
            n_more_before=n_held,
        )
        if self._n_untold < _MAX_UNTOLD and not self._stopped.is_set():
            self._n_untold += 1
            self._aside.submit(self._record, address, error)

    def _record(self, address: str, error: TurnedAwayError) -> None:
        self._n_untold -= 1
        self.services.gate.turned_away(address, error.reason, error.remedy)

    def _end_the_longest(self) -> None:
        limit = self._limits.max_association_seconds
        if not limit:
            return
        now = time.monotonic()
        with self._lock:
            late = {
                one: now - at for one, at in self._began.items() if now - at > limit
            }
        for one, seconds in late.items():
            # A message under way may finish, if it does not take as long again.
            if one.is_alive() and (not one.is_busy or seconds > 2 * limit):
                self._cut(one)

    def _cut(self, association: AcceptedAssociation) -> None:
        _LOG.warning(
            "receiver.association_too_long",
            address=association.requestor.address,
            remedy="raise receiver.max_association_seconds, or look at the sender",
        )
        with self._lock:
            self._began[association] = math.inf
        association.cut()
