"""The receiver process: SCP, store and worklist."""

from __future__ import annotations

from collections.abc import Iterator

import structlog

from dicomnode.config import Config
from dicomnode.processes import wiring
from dicomnode.processes.clock import SystemClock
from dicomnode.processes.role import asked_to_stop, role
from dicomnode.receiver.acceptance import Policy
from dicomnode.receiver.draining import DrainingStore
from dicomnode.receiver.peers import Peer
from dicomnode.receiver.scp import Commitment, ScpSettings, StorageSCP
from dicomnode.version import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME

_log = structlog.get_logger(__name__)

GRACE_SECONDS = 30.0
"""What a C-STORE that has begun may take to end after SIGTERM."""


def main(config: Config) -> int:
    """Receive until asked to stop; a C-STORE that has begun is answered first.

    1 when the listener has died.
    """
    with role("receive", config) as stop, wiring.opened_worklist(config) as worklist:
        scp = StorageSCP(
            settings(config),
            DrainingStore(wiring.open_store(config), worklist.pauses),
            worklist.intake,
            SystemClock(),
            wiring.extra_keywords(config),
            Commitment(worklist.intake, worklist.commitments),
        )
        scp.start()
        _log.info("receiver.ready", host=config.receiver.host, port=scp.port)
        well = asked_to_stop(stop, lambda: scp.is_listening)
        scp.stop(GRACE_SECONDS)
    return 0 if well else 1


def settings(config: Config) -> ScpSettings:
    """``[node]``, ``[receiver]`` and ``[[peer]]`` as the SCP takes them."""
    receiver = config.receiver
    return ScpSettings(
        policy=Policy(
            config.node.ae_title,
            receiver.require_called_ae_title,
            accept_unknown_peers=receiver.unknown_peers == "accept",
            max_associations=receiver.max_associations,
        ),
        implementation_class_uid=IMPLEMENTATION_CLASS_UID,
        implementation_version_name=IMPLEMENTATION_VERSION_NAME,
        peers=(*_peers(config), *_reporting(config)),
        offers_commitment=receiver.storage_commitment,
        host=receiver.host,
        port=receiver.port,
        max_pdu_bytes=receiver.max_pdu_bytes,
        network_timeout_seconds=receiver.network_timeout_seconds,
    )


def _peers(config: Config) -> Iterator[Peer]:
    for one in config.peer:
        yield Peer(one.ae_title, one.hosts, one.port)


def _reporting(config: Config) -> Iterator[Peer]:
    """Destinations answer our requests for storage commitment without being peers."""
    for one in config.destination:
        if one.storage_commitment != "off":
            yield Peer(one.ae_title, (one.host,), reports_only=True)
