"""The tables of config.toml as frozen models; config.toml explains every key."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import (
    AfterValidator,
    Field,
    PrivateAttr,
    SecretStr,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_core import PydanticCustomError

from dicomnode.config.alerting import Alert
from dicomnode.config.audit import Audit
from dicomnode.config.backfilling import Backfill
from dicomnode.config.encrypting import Called
from dicomnode.config.receiving import Peer, Receiver
from dicomnode.config.section import Section
from dicomnode.config.serving import Account, Web
from dicomnode.config.storing import Store
from dicomnode.config.values import (
    AETitle,
    AnyCondition,
    Days,
    DicomwebUrl,
    Folder,
    Keyword,
    Name,
    OptionalAETitle,
    OptionalCount,
    OptionalFile,
    OptionalHost,
    OptionalName,
    OptionalPort,
    OptionalSeconds,
    Presences,
    Seconds,
    Secret,
    TimeOfDay,
    database_url,
    goes_in_the_clear,
)
from dicomnode.config.working import Worker


def _checked(secret: SecretStr) -> SecretStr:
    database_url(secret.get_secret_value())
    return secret


class Node(Section):
    """``[node]``: who we are and where our files live."""

    ae_title: AETitle = "DICOMNODE"
    data_dir: Folder = Field(default="var")  # type: ignore[assignment]  # validated into a Path


class Database(Section):
    """``[database]``: the worklist; empty means SQLite in ``node.data_dir``."""

    url: Annotated[Secret, AfterValidator(_checked)] = SecretStr("")


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


class Destination(Called):
    """``[[destination]]``: a C-STORE SCP that gets results.

    ``timeout_seconds`` None: the one of ``[delivery]``. ``retrieve`` and the
    ``dicomweb`` keys: how a backfill brings its studies in. An archive that is reached
    by DICOMweb only has neither ``ae_title`` nor ``host`` nor ``port``.
    """

    name: Name
    # Before those that are needed or not by what it says.
    retrieve: Literal["c-move", "c-get", "dicomweb"] = "c-move"
    ae_title: OptionalAETitle = Field(default="", validate_default=True)
    host: OptionalHost = Field(default="", validate_default=True)
    port: OptionalPort = Field(default=0, validate_default=True)
    profile: Literal["comprehensive", "comprehensive-3d", "enhanced", "basic-text"] = (
        "comprehensive"
    )
    storage_commitment: Literal["auto", "required", "off"] = "auto"
    commitment_timeout_seconds: Seconds = 600
    timeout_seconds: OptionalSeconds = None
    dicomweb_url: DicomwebUrl = ""
    dicomweb_ca: OptionalFile = None
    dicomweb_user: str = ""
    dicomweb_password: Secret = SecretStr("")
    dicomweb_token: Secret = SecretStr("")

    @field_validator("ae_title", "host", "port")
    @classmethod
    def _is_there_for_dimse(cls, value: object, info: ValidationInfo) -> object:
        if not value and info.data.get("retrieve") != "dicomweb":
            raise PydanticCustomError("missing", "is missing")
        return value

    @model_validator(mode="after")
    def _is_called_by_all_three(self) -> Destination:
        given = [bool(one) for one in (self.ae_title, self.host, self.port)]
        if any(given) and not all(given):
            message = (
                "has not all of ae_title, host and port; write all three to store "
                "results there, or none for an archive that is only read by DICOMweb"
            )
            raise ValueError(message)
        return self

    @property
    def takes_results(self) -> bool:
        """Whether it can be called, for C-STORE, C-FIND or C-ECHO."""
        return bool(self.ae_title)

    @model_validator(mode="after")
    def _says_where_its_dicomweb_is(self) -> Destination:
        if self.retrieve == "dicomweb" and not self.dicomweb_url:
            message = (
                'has retrieve = "dicomweb" and no dicomweb_url; write where it is, '
                "for example https://pacs.hospital.org/dicom-web"
            )
            raise ValueError(message)
        return self

    @model_validator(mode="after")
    def _signs_in_one_way(self) -> Destination:
        if self.dicomweb_token.get_secret_value() and self.dicomweb_user:
            message = (
                "has dicomweb_user and dicomweb_token, and only one can be shown; "
                "remove the other"
            )
            raise ValueError(message)
        return self

    @model_validator(mode="after")
    def _hides_its_credentials(self) -> Destination:
        signs_in = bool(self.dicomweb_user or self.dicomweb_token.get_secret_value())
        if signs_in and goes_in_the_clear(self.dicomweb_url):
            message = (
                "would send its credentials in the clear; write https:// in "
                "dicomweb_url, or remove dicomweb_user and dicomweb_token"
            )
            raise ValueError(message)
        return self


class Delivery(Section):
    """``[delivery]``: retries towards the destinations."""

    retry_seconds: tuple[Seconds, ...] = (10, 60, 300, 1800, 7200)
    poll_seconds: Seconds = 1
    timeout_seconds: Seconds = 30
    idle_seconds: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 2


class Keep(Section):
    """``[keep]``: how often studies are completed, routed and looked after."""

    interval_seconds: Seconds = 1
    reconcile_at: TimeOfDay = "02:30"
    reconcile_repair: bool = True
    reconcile_grace_seconds: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 3600


class RetentionRule(Section):
    """``[[retention.rule]]``: how long files of the studies that it matches stay."""

    match: dict[Keyword, AnyCondition]
    keep_days: Days


class Retention(Section):
    """``[retention]``: how long files stay, of delivered studies and refused ones."""

    keep_days: Days = 7
    quarantine_days: Days = 30
    rule: tuple[RetentionRule, ...] = ()


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
    backfill: Backfill = Backfill()
    keep: Keep = Keep()
    retention: Retention = Retention()
    web: Web = Web()
    account: tuple[Account, ...] = ()
    telemetry: Telemetry = Telemetry()
    audit: Audit = Audit()
    alert: Alert = Alert()

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
    def result_destinations(self) -> tuple[Destination, ...]:
        """Those of the destinations that results can be stored at."""
        return tuple(one for one in self.destination if one.takes_results)

    @property
    def file(self) -> Path | None:
        """The file these values were read from; None when there was none."""
        return self._file
