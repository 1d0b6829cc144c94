"""The configured peers with the addresses their host names have just now."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import ip_address, ip_network

import structlog

from dicomnode.receiver.acceptance import ALL_SERVICES, KnownPeer, Network
from dicomnode.tls import TlsPeer

_LOG = structlog.get_logger(__name__)
_KEEP_SECONDS = 60.0

Lookup = Callable[[str], Iterable[str]]


@dataclass(frozen=True, slots=True)
class Peer:
    """Who may talk to us; ``hosts`` are addresses, CIDR networks and host names.

    ``port``: where it takes answers to storage commitment, 0 for nowhere; ``tls``: how
    to encrypt them, a server name of "" is the address that it asked from.
    ``reports_only``: a destination that is no peer; it may only answer us.
    ``services``: what it may ask for. ``max_associations``: at one time, 0 for as many
    as there are for all.
    """

    ae_title: str
    hosts: tuple[str, ...]
    port: int = 0
    reports_only: bool = False
    services: frozenset[str] = ALL_SERVICES
    max_associations: int = 0
    tls: TlsPeer | None = None


def addresses(host: str) -> tuple[str, ...]:
    """The addresses of a host name; none if it does not resolve."""
    try:
        entries = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except OSError:
        _LOG.warning("receiver.peer_host_unknown", host=host)
        return ()
    return tuple(str(entry[4][0]) for entry in entries)


class Peers:
    """Resolves the hosts of all peers; an answer for a name is kept for a minute."""

    def __init__(
        self,
        peers: Sequence[Peer],
        lookup: Lookup = addresses,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._peers = tuple(peers)
        self._lookup = lookup
        self._monotonic = monotonic
        self._kept: dict[str, tuple[float, tuple[Network, ...]]] = {}

    def known(self, reports: bool = True) -> tuple[KnownPeer, ...]:
        """All peers, ready for ``acceptance.decide``.

        ``reports`` False: without those that may only report, whose names need then
        not be looked up.
        """
        return tuple(
            KnownPeer(
                peer.ae_title,
                peer.hosts,
                tuple(network for host in peer.hosts for network in self._of(host)),
                peer.reports_only,
                peer.services,
                peer.max_associations,
            )
            for peer in self._peers
            if reports or not peer.reports_only
        )

    def _of(self, host: str) -> tuple[Network, ...]:
        return _written(host) or self._named(host)

    def _named(self, host: str) -> tuple[Network, ...]:
        now = self._monotonic()
        until, networks = self._kept.get(host, (now, ()))
        if now >= until:
            found = (address.partition("%")[0] for address in self._lookup(host))
            networks = tuple(ip_network(ip_address(address)) for address in found)
            self._kept[host] = (now + _KEEP_SECONDS, networks)
        return networks


@lru_cache(maxsize=1024)
def _written(host: str) -> tuple[Network, ...]:
    """The network of an address or CIDR network; none for a name."""
    try:
        return (ip_network(host, strict=False),)
    except ValueError:
        return ()
