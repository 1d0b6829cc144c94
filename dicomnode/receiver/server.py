"""The listening socket, and one thread for each connection."""

from __future__ import annotations

import socket
import threading
from socketserver import BaseServer
from typing import Any, cast

import structlog
from pynetdicom.ae import ApplicationEntity
from pynetdicom.transport import AssociationServer, RequestHandler

from dicomnode.receiver.upper_layer import AcceptedAssociation, Services

_LOG = structlog.get_logger(__name__)


class _Connection(RequestHandler):
    server: StorageServer

    def handle(self) -> None:
        """Start the association; its thread lives on after this returns."""
        association = AcceptedAssociation(
            self.server,
            self.server.services,
            cast("socket.socket", self.request),
            self.local,
            self.remote,
        )
        association.start()
        self.server.note(association)


class StorageServer(AssociationServer):
    """Accepts connections and knows the associations on them."""

    request_queue_size = 128

    def __init__(
        self,
        ae: ApplicationEntity,
        address: tuple[str, int],
        services: Services,
        shares_port: bool = False,
    ) -> None:
        self.services = services
        self._shares_port = shares_port
        self._known: set[AcceptedAssociation] = set()
        self._lock = threading.Lock()
        super().__init__(ae, address, ae.ae_title, [], request_handler=_Connection)

    def server_bind(self) -> None:
        """Bind the port, with others if it is shared."""
        if self._shares_port:
            cast("socket.socket", self.socket).setsockopt(
                socket.SOL_SOCKET, socket.SO_REUSEPORT, 1
            )
        super().server_bind()

    @property
    def port(self) -> int:
        """The TCP port, also when the system chose it."""
        return int(self.server_address[1])

    def note(self, association: AcceptedAssociation) -> None:
        """Remember a started association for as long as it lives."""
        with self._lock:
            self._known = {one for one in self._known if one.is_alive()}
            self._known.add(association)

    def living(self) -> tuple[AcceptedAssociation, ...]:
        """The associations whose threads are running."""
        with self._lock:
            return tuple(one for one in self._known if one.is_alive())

    def get_request(self) -> tuple[socket.socket, tuple[str, int]]:
        """Accept a connection that answers at once and notices a dead peer."""
        connection, address = super().get_request()
        # Without it a response of two segments waits 40 ms for an acknowledgement.
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        connection.settimeout(self.services.deadline_seconds)
        return connection, address

    def close(self) -> None:
        """Stop accepting; associations go on."""
        BaseServer.shutdown(self)
        self.server_close()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A connection that could not be served is logged, not printed."""
        _LOG.exception("receiver.connection_failed", address=str(client_address[0]))
        self.shutdown_request(request)
