"""Destinations to Senders; apart from wiring because it loads pynetdicom."""

from __future__ import annotations

from dicomnode.config import Config, Destination
from dicomnode.delivery.storage_scu import Peer, StorageScu
from dicomnode.processes.certificates import of_called
from dicomnode.processes.clock import SystemClock


def open_sender(
    destination: Destination, config: Config, idle_seconds: float = 0
) -> StorageScu:
    """The C-STORE SCU for a configured destination; see StorageScu."""
    return StorageScu(peer_of(destination, config), SystemClock(), idle_seconds)


def peer_of(destination: Destination, config: Config) -> Peer:
    """Whom to associate with for a configured destination."""
    return Peer(
        ae_title=destination.ae_title,
        host=destination.host,
        port=destination.port,
        calling_ae_title=config.node.ae_title,
        timeout_seconds=timeout_seconds(destination, config),
        tls=of_called(destination, destination.host),
    )


def timeout_seconds(destination: Destination, config: Config) -> float:
    """How long to wait for this destination."""
    return destination.timeout_seconds or config.delivery.timeout_seconds
