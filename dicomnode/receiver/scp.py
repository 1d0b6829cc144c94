"""The Storage and Verification SCP, assembled from plain parameters."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from pynetdicom.ae import ApplicationEntity

from dicomnode.errors import ConfigError
from dicomnode.ports import Clock, CommitmentAnswers, InstanceStore, Intake, Kept
from dicomnode.receiver.acceptance import Policy
from dicomnode.receiver.commitment import CommitmentScp
from dicomnode.receiver.gate import Gate
from dicomnode.receiver.handlers import StoreHandler
from dicomnode.receiver.inside import Inside
from dicomnode.receiver.peers import Peer, Peers
from dicomnode.receiver.reporting import Reporter, ReporterSettings
from dicomnode.receiver.server import StorageServer
from dicomnode.receiver.upper_layer import AcceptedAssociation, Services

_ACCEPT_POLL_SECONDS = 0.2
_STOP_POLL_SECONDS = 0.02
# The gate counts associations; the library's own limit would count idle connections.
_NO_LIMIT = 1 << 30


@dataclass(frozen=True, slots=True)
class ScpSettings:
    """What ``[node]`` and ``[receiver]`` say, and who we are on the wire.

    ``port`` 0: the system chooses. ``max_pdu_bytes``: announced in the A-ASSOCIATE-AC;
    a longer PDU ends the connection (256 KiB are always taken). ``shares_port``: with
    other processes (SO_REUSEPORT), whose associations are ``inside`` too.
    """

    policy: Policy
    implementation_class_uid: str
    implementation_version_name: str
    peers: tuple[Peer, ...] = ()
    host: str = "127.0.0.1"
    port: int = 0
    max_pdu_bytes: int = 262_144
    acse_timeout_seconds: float = 30
    dimse_timeout_seconds: float = 30
    network_timeout_seconds: float = 60
    offers_commitment: bool = True
    shares_port: bool = False
    inside: Inside = field(default_factory=Inside)


@dataclass(frozen=True, slots=True)
class Commitment:
    """What storage commitment needs of the worklist."""

    kept: Kept
    answers: CommitmentAnswers


class StorageSCP:
    """Accepts C-ECHO, and C-STORE of every storage SOP Class in every transfer syntax.

    With ``commitment`` storage commitment too: requests of peers and answers of
    destinations. Raises ConfigError when the port cannot be opened.
    """

    def __init__(
        self,
        settings: ScpSettings,
        store: InstanceStore,
        intake: Intake,
        clock: Clock,
        extra_keywords: Sequence[str] = (),
        commitment: Commitment | None = None,
    ) -> None:
        peers = Peers(settings.peers)
        gate = Gate(settings.policy, peers, intake, clock, settings.inside)
        handler = StoreHandler(store, intake, clock, extra_keywords)
        self._reporter = Reporter(_reporter_settings(settings))
        commitment_scp = None
        if commitment is not None:
            kept, answers = commitment.kept, commitment.answers
            commitment_scp = CommitmentScp(store, kept, answers, clock, self._reporter)
        try:
            self._server = StorageServer(
                _entity(settings),
                (settings.host, settings.port),
                Services(
                    gate,
                    handler,
                    settings.network_timeout_seconds,
                    commitment_scp,
                    settings.offers_commitment,
                ),
                settings.shares_port,
            )
        except OSError as error:
            message = (
                f"cannot listen on {settings.host}:{settings.port} ({error.strerror}); "
                "stop the program that uses the port, or set receiver.host or "
                "receiver.port"
            )
            raise ConfigError(message) from error
        self._thread = threading.Thread(
            target=self._server.serve_forever,
            args=(_ACCEPT_POLL_SECONDS,),
            name="receiver",
            daemon=True,
        )

    @property
    def port(self) -> int:
        """The TCP port we listen on."""
        return self._server.port

    @property
    def is_listening(self) -> bool:
        """Whether connections are accepted."""
        return self._thread.is_alive()

    def start(self) -> None:
        """Serve in threads of its own."""
        self._thread.start()

    def stop(self, grace_seconds: float) -> None:
        """Stop accepting, let messages under way finish, end all associations.

        An association is aborted as soon as it is between two messages; one that is
        not within ``grace_seconds`` is cut. What was not answered is sent again.
        """
        self._server.close()
        self._thread.join()
        ends_at = time.monotonic() + grace_seconds
        waiting, aborted = threading.Event(), set[AcceptedAssociation]()
        with ThreadPoolExecutor(thread_name_prefix="stop") as pool:
            while self._server.living() and time.monotonic() < ends_at:
                for association in set(self._server.living()) - aborted:
                    if not association.is_busy:
                        pool.submit(association.abort)
                        aborted.add(association)
                waiting.wait(_STOP_POLL_SECONDS)
            for association in self._server.living():
                association.cut()
        self._reporter.stop()


def _entity(settings: ScpSettings) -> ApplicationEntity:
    entity = ApplicationEntity(settings.policy.ae_title)
    entity.maximum_pdu_size = settings.max_pdu_bytes
    entity.maximum_associations = _NO_LIMIT
    entity.acse_timeout = settings.acse_timeout_seconds
    entity.dimse_timeout = settings.dimse_timeout_seconds
    entity.network_timeout = settings.network_timeout_seconds
    entity.implementation_class_uid = settings.implementation_class_uid
    entity.implementation_version_name = settings.implementation_version_name
    return entity


def _reporter_settings(settings: ScpSettings) -> ReporterSettings:
    return ReporterSettings(
        ae_title=settings.policy.ae_title,
        implementation_class_uid=settings.implementation_class_uid,
        implementation_version_name=settings.implementation_version_name,
        ports={one.ae_title: one.port for one in settings.peers if one.port},
        timeout_seconds=settings.acse_timeout_seconds,
    )
