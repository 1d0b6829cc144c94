"""The receiver process: SCP, store and worklist."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from math import ceil
from typing import cast

import structlog

from dicomnode.config import Config, Tls
from dicomnode.ports import InstanceStore
from dicomnode.processes import auditing, presence, service, storing, wiring
from dicomnode.processes.certificates import of_called, of_receiver
from dicomnode.processes.clock import SystemClock
from dicomnode.processes.memory import leave_in_peace, return_large_buffers
from dicomnode.processes.renewal import Renewal
from dicomnode.processes.role import asked_to_stop, role
from dicomnode.processes.service import Pulse
from dicomnode.processes.sharing import Share, share_of
from dicomnode.receiver.acceptance import Policy
from dicomnode.receiver.backlog import BacklogLimit
from dicomnode.receiver.draining import DrainingStore
from dicomnode.receiver.gated import StagingStore
from dicomnode.receiver.inside import Board, Inside, SharedInside
from dicomnode.receiver.lobby import LobbyLimits
from dicomnode.receiver.peers import Peer
from dicomnode.receiver.requests import Limits
from dicomnode.receiver.scp import Commitment, ScpSettings, StorageSCP, TlsSettings
from dicomnode.version import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME
from dicomnode.worklist import Worklist

_log = structlog.get_logger(__name__)

HANGS_SECONDS = 60.0
"""The loop that accepts connections turns several times a second."""

GRACE_SECONDS = 30.0
"""What a C-STORE that has begun may take to end after SIGTERM."""


def main(config: Config) -> int:
    """Receive until asked to stop; a C-STORE that has begun is answered first.

    1 when the listener has died, or the disk has failed under the worklist.
    """
    share, renewal = share_of(), Renewal(config)
    return_large_buffers()
    with (
        role("receive", config, renewal.ask) as stop,
        auditing.audited_role("receive", config) as audit,
        wiring.opened_worklist(config) as worklist,
        storing.handing_over(config, worklist.spools) as hands_over,
        presence.present(
            "receive", worklist, presence.of_receiver(config, worklist, audit)
        ),
    ):
        pulse = Pulse(HANGS_SECONDS)
        worklist.reserve_log()
        scp = StorageSCP(
            settings(config, share),
            open_store(config, worklist),
            audit.intake(worklist.intake),
            SystemClock(),
            wiring.extra_keywords(config),
            Commitment(worklist.intake, worklist.commitments),
        )
        scp.start(partial(pulse.beat, "receiver"))
        audit.network(attached=True)
        _log.info(
            "receiver.ready",
            host=config.receiver.host,
            port=scp.port,
            tls_port=scp.tls_port if config.receiver.tls.enabled else None,
        )
        service.ready()
        leave_in_peace()

        def is_well() -> bool:
            if taken := renewal.taken():
                now = taken.config
                scp.admit(settings(now, share), wiring.extra_keywords(now))
                renewal.applied()
            return scp.is_listening and worklist.is_sound and hands_over()

        well = asked_to_stop(stop, is_well, pulse)
        scp.stop(GRACE_SECONDS)
        audit.network(attached=False)
    return 0 if well else 1


def open_store(config: Config, worklist: Worklist) -> InstanceStore:
    """Where what comes in goes, or is refused while the node can take no more."""
    # Every store of ours takes data sets in pieces too.
    kept = cast("StagingStore", storing.open_store(config))
    store = DrainingStore(kept, worklist.pauses)
    limit = config.receiver.max_waiting_jobs
    if not limit:
        return store
    return BacklogLimit(store, partial(worklist.jobs.n_unfinished, limit), limit)


def settings(config: Config, share: Share | None = None) -> ScpSettings:
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
        port=share.port if share else receiver.port,
        shares_port=share is not None,
        inside=_inside(config, share),
        max_pdu_bytes=receiver.max_pdu_bytes,
        network_timeout_seconds=receiver.network_timeout_seconds,
        max_association_seconds=receiver.max_association_seconds,
        lobby=_lobby(config, share),
        tls=_tls(receiver.tls, share),
        limits=limits(config),
        quarantine=receiver.quarantine,
    )


def limits(config: Config) -> Limits:
    """How much an instance and an association may bring."""
    receiver = config.receiver
    return Limits(receiver.max_instance_bytes, receiver.max_association_bytes)


def _lobby(config: Config, share: Share | None) -> LobbyLimits:
    """Of this process: the kernel deals connections out evenly, so each has its part.

    A limit that holds for all exactly would be a lock at each connection, of which a
    flood has thousands.
    """
    receiver = config.receiver
    parts = receiver.processes if share else 1
    return LobbyLimits(
        receiver.request_timeout_seconds,
        ceil(receiver.max_connections / parts),
        ceil(receiver.max_connections_per_address / parts),
        receiver.proxy_protocol_from,
    )


def _tls(tls: Tls, share: Share | None) -> TlsSettings | None:
    if not tls.enabled:
        return None
    port = share.tls_port if share else tls.port
    return TlsSettings(of_receiver(tls), port, tls.required)


def _inside(config: Config, share: Share | None) -> Inside:
    if share is None:
        return Inside()
    receiver = config.receiver
    board = Board(share.board, receiver.processes, receiver.max_associations)
    return SharedInside(board, share.process)


def _peers(config: Config) -> Iterator[Peer]:
    for one in config.peer:
        yield Peer(
            one.ae_title,
            one.hosts,
            one.port,
            services=frozenset(one.services),
            max_associations=one.max_associations,
            tls=of_called(one, ""),
        )


def _reporting(config: Config) -> Iterator[Peer]:
    """Destinations answer our requests for storage commitment without being peers."""
    for one in config.result_destinations:
        if one.storage_commitment != "off":
            yield Peer(one.ae_title, (one.host,), reports_only=True)
