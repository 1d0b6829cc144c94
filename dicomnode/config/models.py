"""The tables of config.toml as frozen models; config.toml explains every key."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import (
    AfterValidator,
    Field,
    PrivateAttr,
    SecretStr,
    model_validator,
)

from dicomnode.config.audit import Audit
from dicomnode.config.section import Section
from dicomnode.config.values import (
    HASHED,
    AETitle,
    AnyCondition,
    Count,
    Device,
    Folder,
    Host,
    Keyword,
    Name,
    OptionalCount,
    OptionalFile,
    OptionalHost,
    OptionalName,
    OptionalSeconds,
    PeerHost,
    Percent,
    Port,
    Presences,
    RemotePort,
    Seconds,
    StoreUrl,
    TimeOfDay,
    database_url,
    is_loopback,
)


def _checked(secret: SecretStr) -> SecretStr:
    database_url(secret.get_secret_value())
    return secret


RoleName = Literal["viewer", "operator", "admin"]


def _hashed(secret: SecretStr) -> SecretStr:
    if not HASHED.fullmatch(secret.get_secret_value()):
        message = "is no hashed password; `dicomnode account NAME` makes one"
        raise ValueError(message)
    return secret


class Node(Section):
    """``[node]``: who we are and where our files live."""

    ae_title: AETitle = "DICOMNODE"
    data_dir: Folder = Field(default="var")  # type: ignore[assignment]  # validated into a Path


class Database(Section):
    """``[database]``: the worklist; empty means SQLite in ``node.data_dir``."""

    url: Annotated[SecretStr, AfterValidator(_checked)] = SecretStr("")


class Store(Section):
    """``[store]``: the instances; empty means ``node.data_dir``/instances."""

    url: StoreUrl = ""
    watermark_percent: Percent = 90


class Tls(Section):
    """``[receiver.tls]``: the second, encrypted port (PS3.15 B.12).

    ``required``: the only port.
    """

    enabled: bool = False
    required: bool = False
    port: Port = 2762
    certificate: OptionalFile = None
    private_key: OptionalFile = None
    client_ca: OptionalFile = None

    @model_validator(mode="after")
    def _has_its_files(self) -> Tls:
        if self.enabled and not (self.certificate and self.private_key):
            message = (
                "is enabled without certificate and private_key; name both PEM files, "
                "or set enabled = false"
            )
            raise ValueError(message)
        return self

    @model_validator(mode="after")
    def _leaves_a_port(self) -> Tls:
        if self.required and not self.enabled:
            message = (
                "is required and not enabled, so no port would be left; set "
                "enabled = true"
            )
            raise ValueError(message)
        return self


class Receiver(Section):
    """``[receiver]``: the C-STORE and C-ECHO SCP."""

    host: Host = "0.0.0.0"  # noqa: S104  # a receiver that no modality reaches is none
    port: Port = 11112
    processes: Count = 1
    max_associations: Count = 64
    require_called_ae_title: bool = True
    unknown_peers: Literal["refuse", "accept"] = "refuse"
    max_pdu_bytes: Annotated[int, Field(ge=4096, le=4 * 1024**2)] = 262144
    network_timeout_seconds: Seconds = 60
    request_timeout_seconds: Seconds = 5
    max_association_seconds: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 86400
    max_waiting_jobs: Annotated[int, Field(ge=0)] = 0
    max_connections: Count = 512
    max_connections_per_address: Count = 64
    max_instance_bytes: Count = 4 * 1024**3
    max_association_bytes: Count = 1024**4
    quarantine: bool = False
    storage_commitment: bool = True
    tls: Tls = Tls()


class Peer(Section):
    """``[[peer]]``: who may talk to us, and from which addresses.

    ``port`` 0: it takes no associations from us.
    """

    ae_title: AETitle
    hosts: Annotated[tuple[PeerHost, ...], Field(min_length=1)]
    port: Port = 0
    services: Annotated[
        tuple[Literal["store", "echo", "commitment"], ...], Field(min_length=1)
    ] = ("store", "echo", "commitment")
    max_associations: Annotated[int, Field(ge=0)] = 0


class Study(Section):
    """``[study]``: when a study is complete."""

    quiet_seconds: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 30
    expected_n_series: OptionalCount = None
    expected_n_instances: OptionalCount = None


class Pipeline(Section):
    """``[[pipeline]]``: which studies meet which bundle, and where results go."""

    name: Name
    bundle: Name
    match: dict[Keyword, AnyCondition]
    results: Annotated[tuple[Literal["sr", "sc", "gsps"], ...], Field(min_length=1)] = (
        "sr",
        "sc",
    )
    heat_map: bool = True
    destinations: tuple[str, ...] = ()
    mode: Literal["active", "shadow"] = "active"
    priority: int = 0
    after: OptionalName = ""
    findings: dict[str, Presences] = {}  # noqa: RUF012  # pydantic copies it

    @model_validator(mode="after")
    def _has_findings_of_another(self) -> Pipeline:
        if self.findings and not self.after:
            message = (
                "has findings and comes after no pipeline, so nothing would be found "
                "yet; name that pipeline in after, or remove findings"
            )
            raise ValueError(message)
        return self

    @model_validator(mode="after")
    def _never_silent(self) -> Pipeline:
        if set(self.results) == {"gsps"}:
            message = (
                'has results = ["gsps"] only, so a study without findings would get '
                'nothing; add "sr" or "sc"'
            )
            raise ValueError(message)
        return self

    @model_validator(mode="after")
    def _goes_somewhere(self) -> Pipeline:
        if self.mode == "active" and not self.destinations:
            message = (
                "is active and has no destinations, so no result would ever be sent; "
                'name a destination, or set mode = "shadow"'
            )
            raise ValueError(message)
        return self


class Bundles(Section):
    """``[bundles]``: who must have signed what the network is made of."""

    public_key: OptionalFile = None


class Results(Section):
    """``[results]``: in which language and with which codes reports speak."""

    language: Literal["en", "en-US", "en-GB", "de", "fr", "es", "zh", "ja"] = "en"
    code_scheme: Literal["bundle", "radlex", "umls", "private"] = "bundle"


class Destination(Section):
    """``[[destination]]``: a C-STORE SCP that gets results.

    ``timeout_seconds`` None: the one of ``[delivery]``.
    """

    name: Name
    ae_title: AETitle
    host: Host
    port: RemotePort
    profile: Literal["comprehensive", "comprehensive-3d", "enhanced", "basic-text"] = (
        "comprehensive"
    )
    storage_commitment: Literal["auto", "required", "off"] = "auto"
    commitment_timeout_seconds: Seconds = 600
    timeout_seconds: OptionalSeconds = None
    tls: bool = False
    tls_ca: OptionalFile = None
    tls_certificate: OptionalFile = None
    tls_private_key: OptionalFile = None
    tls_server_name: OptionalHost = ""

    @model_validator(mode="after")
    def _shows_a_whole_identity(self) -> Destination:
        if bool(self.tls_certificate) != bool(self.tls_private_key):
            message = (
                "has one of tls_certificate and tls_private_key; name both PEM files, "
                "or neither"
            )
            raise ValueError(message)
        return self

    @model_validator(mode="after")
    def _encrypts_when_told_how(self) -> Destination:
        files = (self.tls_ca, self.tls_certificate, self.tls_server_name)
        if any(files) and not self.tls:
            message = (
                "names what TLS needs and does not use TLS, so results would go in "
                "the clear; set tls = true, or remove the other tls_ keys"
            )
            raise ValueError(message)
        return self


LEAST_DECODE_BYTES = 1 << 28


class Worker(Section):
    """``[worker]``: the inference process."""

    device: Device = "auto"
    batch_size: Count = 16
    precision: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    threads: Annotated[int, Field(ge=0)] = 0
    lease_seconds: Seconds = 120
    heartbeat_seconds: Seconds = 20
    poll_seconds: Seconds = 1
    retry_seconds: tuple[Seconds, ...] = (10, 60, 300)
    max_attempts: Count = 4
    timeout_seconds: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 600
    concurrent_jobs: Count = 4
    batch_wait_ms: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 5
    decoders: Annotated[int, Field(ge=0)] = 0
    decode_timeout_seconds: Seconds = 60
    decode_memory_bytes: Annotated[int, Field(ge=LEAST_DECODE_BYTES)] = 1 << 30
    max_pixels: Count = 1 << 28

    @model_validator(mode="after")
    def _beats_in_time(self) -> Worker:
        if self.heartbeat_seconds * 2 > self.lease_seconds:
            message = (
                "heartbeat_seconds must be at most half of lease_seconds, or one late "
                f"heartbeat loses the job; set it to {self.lease_seconds / 4:g}"
            )
            raise ValueError(message)
        return self


class Delivery(Section):
    """``[delivery]``: retries towards the destinations."""

    retry_seconds: tuple[Seconds, ...] = (10, 60, 300, 1800, 7200)
    poll_seconds: Seconds = 1
    timeout_seconds: Seconds = 30


class Keep(Section):
    """``[keep]``: how often studies are completed, routed and looked after."""

    interval_seconds: Seconds = 1
    reconcile_at: TimeOfDay = "02:30"
    reconcile_repair: bool = True
    reconcile_grace_seconds: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 3600


class Retention(Section):
    """``[retention]``: how long delivered studies keep their files."""

    keep_days: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 7


class Web(Section):
    """``[web]``: the pages, the API and the metrics.

    ``secret`` signs the sessions; empty: another at each start. ``https``: a proxy ends
    TLS before it.
    """

    enabled: bool = True
    host: Host = "127.0.0.1"
    port: Port = 8080
    anonymous: RoleName | Literal["none"] = "viewer"
    proxy_header: str = ""
    proxy_hosts: tuple[Host, ...] = ("127.0.0.1", "::1")
    secret: SecretStr = SecretStr("")
    session_hours: Annotated[float, Field(gt=0, le=168)] = 8
    https: bool = False

    @model_validator(mode="after")
    def _closed_to_strangers(self) -> Web:
        if self.enabled and self.anonymous != "none" and not is_loopback(self.host):
            message = (
                f"listens on {self.host} and lets in whoever comes; set anonymous = "
                '"none" and add an [[account]], or set host = "127.0.0.1"'
            )
            raise ValueError(message)
        return self


class Account(Section):
    """``[[account]]``: who may sign in; `dicomnode account` makes the table."""

    name: Name
    role: RoleName = "viewer"
    phi: bool = False
    secret: Annotated[SecretStr, AfterValidator(_hashed)]


class Telemetry(Section):
    """``[telemetry]``: logs."""

    log_format: Literal["json", "console"] = "json"
    log_level: Literal["debug", "info", "warning", "error"] = "info"


class Config(Section):
    """All of config.toml."""

    node: Node = Field(default_factory=Node)
    database: Database = Database()
    store: Store = Store()
    receiver: Receiver = Receiver()
    peer: tuple[Peer, ...] = ()
    study: Study = Study()
    pipeline: tuple[Pipeline, ...] = ()
    results: Results = Results()
    destination: tuple[Destination, ...] = ()
    bundles: Bundles = Bundles()
    worker: Worker = Worker()
    delivery: Delivery = Delivery()
    keep: Keep = Keep()
    retention: Retention = Retention()
    web: Web = Web()
    account: tuple[Account, ...] = ()
    telemetry: Telemetry = Telemetry()
    audit: Audit = Audit()

    _origins: dict[str, str] = PrivateAttr(default_factory=dict)
    _file: Path | None = PrivateAttr(default=None)

    @property
    def worklist_url(self) -> str:
        """The database's URL, by default SQLite in the data folder; may hold secrets.

        A relative SQLite path is taken from the current folder, as SQLAlchemy does.
        """
        given = self.database.url.get_secret_value()
        return given or f"sqlite:///{self.node.data_dir / 'worklist.db'}"

    @property
    def file(self) -> Path | None:
        """The file these values were read from; None when there was none."""
        return self._file
