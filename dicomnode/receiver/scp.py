"""The Storage and Verification SCP, assembled from plain parameters."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from pynetdicom.ae import ApplicationEntity

from dicomnode.ports import Clock, CommitmentAnswers, InstanceStore, Intake, Kept
from dicomnode.receiver.acceptance import Policy
from dicomnode.receiver.commitment import CommitmentScp
from dicomnode.receiver.gate import Gate
from dicomnode.receiver.guests import HeldSSLSocket
from dicomnode.receiver.handlers import StoreHandler
from dicomnode.receiver.inside import Inside
from dicomnode.receiver.listening import listen
from dicomnode.receiver.lobby import Door, LobbyLimits
from dicomnode.receiver.peers import Peer, Peers
from dicomnode.receiver.reporting import Listening, Reporter, ReporterSettings
from dicomnode.receiver.requests import Limits
from dicomnode.receiver.server import ServerLimits, StorageServer
from dicomnode.receiver.upper_layer import AcceptedAssociation, Services
from dicomnode.tls import ServerContexts, TlsFiles

_ACCEPT_POLL_SECONDS = 0.2
_STOP_POLL_SECONDS = 0.02
# The gate counts associations; the library's own limit would count idle connections.
_NO_LIMIT = 1 << 30
# Threads beyond the limit of associations, for those whom the gate still answers; when
# they are used up too, the lobby rejects.
_ABOUT_TO_BE_REJECTED = 16


@dataclass(frozen=True, slots=True)
class TlsSettings:
    """A second port, with TLS; ``required``: the only one."""

    files: TlsFiles
    port: int = 0
    required: bool = False


_LIMITS = Limits()


@dataclass(frozen=True, slots=True)
class ScpSettings:
    """What ``[node]`` and ``[receiver]`` say, and who we are on the wire.

    ``port`` 0: the system chooses. ``max_pdu_bytes``: announced in the A-ASSOCIATE-AC;
    a longer PDU ends the connection (256 KiB are always taken). ``quarantine``: keep
    what is refused with 0xA900 or 0xC000 apart. ``max_association_seconds`` 0: for
    ever. ``shares_port``: with other processes (SO_REUSEPORT), whose associations are
    ``inside`` too.
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
    max_association_seconds: float = 0
    lobby: LobbyLimits = field(default_factory=LobbyLimits)
    tls: TlsSettings | None = None
    shares_port: bool = False
    inside: Inside = field(default_factory=Inside)
    limits: Limits = _LIMITS
    quarantine: bool = False


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
        self._gate = gate
        self._handler = handler = StoreHandler(
            store, intake, clock, extra_keywords, settings.limits, settings.quarantine
        )
        self._reporter = Reporter(_reporter_settings(settings))
        commitment_scp = None
        if commitment is not None:
            kept, answers = commitment.kept, commitment.answers
            commitment_scp = CommitmentScp(store, kept, answers, clock, self._reporter)
        services = Services(
            gate,
            handler,
            settings.network_timeout_seconds,
            commitment_scp,
            settings.offers_commitment,
        )
        doors = _doors(settings)
        self._ports = [door.listener.getsockname()[1] for door in doors]
        self._server = StorageServer(
            _entity(settings), doors, services, _limits(settings)
        )
        self._turned: Callable[[], None] = lambda: None
        self._thread = threading.Thread(
            target=self._serve, name="receiver", daemon=True
        )

    @property
    def port(self) -> int:
        """The TCP port we listen on; the one with TLS if there is no other."""
        return int(self._ports[0])

    @property
    def tls_port(self) -> int:
        """The TCP port for TLS; the one without if there is no other."""
        return int(self._ports[-1])

    @property
    def is_listening(self) -> bool:
        """Whether connections are accepted."""
        return self._thread.is_alive()

    def start(self, turned: Callable[[], None] = lambda: None) -> None:
        """Serve in threads of its own; the one that accepts calls ``turned``."""
        self._turned = turned
        self._thread.start()

    def _serve(self) -> None:
        self._server.serve_forever(_ACCEPT_POLL_SECONDS, self._turned)

    def admit(self, settings: ScpSettings, extra_keywords: Sequence[str]) -> None:
        """Who may associate from now on, and what is recorded of an instance more.

        Associations under way go on as they were accepted. All else in ``settings``
        must be what it was.
        """
        self._gate.policy, self._gate.peers = settings.policy, Peers(settings.peers)
        self._handler.extra_keywords = tuple(extra_keywords)
        self._reporter.settings = _reporter_settings(settings)

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


def _doors(settings: ScpSettings) -> list[Door]:
    """Open the ports; raises ConfigError."""
    tls = settings.tls
    # The certificate first: nothing listens when it cannot be used.
    contexts = ServerContexts(tls.files, HeldSSLSocket) if tls else None
    shares = settings.shares_port
    doors = []
    if not (tls and tls.required):
        doors.append(Door(listen(settings.host, settings.port, shares_port=shares)))
    if tls and contexts:
        listener = listen(settings.host, tls.port, "receiver.tls", shares)
        doors.append(Door(listener, contexts.current))
    return doors


def _limits(settings: ScpSettings) -> ServerLimits:
    return ServerLimits(
        settings.policy.max_associations + _ABOUT_TO_BE_REJECTED,
        settings.max_association_seconds,
        settings.lobby,
    )


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
        listening={
            one.ae_title: Listening(one.port, one.tls)
            for one in settings.peers
            if one.port
        },
        timeout_seconds=settings.acse_timeout_seconds,
    )
