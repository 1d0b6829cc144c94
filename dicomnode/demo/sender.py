"""The modality of the demonstration: verifies the node and sends it the studies."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime

from dicomnode.delivery.storage_scu import Peer, StorageScu
from dicomnode.demo.cases import Case
from dicomnode.demo.failure import DemoFailed
from dicomnode.errors import DeliveryError


class _Clock:
    def now(self) -> datetime:
        return datetime.now(UTC)


class Modality:
    """Sends to the node over the loopback, one association for each study."""

    def __init__(self, ae_title: str, node_ae_title: str, node_port: int) -> None:
        peer = Peer(node_ae_title, "127.0.0.1", node_port, ae_title)
        self._storage_scu = StorageScu(peer, _Clock())

    def answers(self) -> bool:
        """Whether the node takes an association and answers C-ECHO."""
        try:
            self._storage_scu.echo()
        except DeliveryError:
            return False
        return True

    def send(self, cases: Iterable[Case]) -> None:
        """C-STORE every study; raises DemoFailed unless all are acknowledged."""
        for case in cases:
            for sent in self._storage_scu.send(case.instances):
                if not sent.accepted:
                    raise DemoFailed(f"{case.name}: {sent.error}; see the node's log")
