"""The tables of the worklist. Private: readers use the v1 views (docs/worklist-sql.md).

Times are ISO 8601 text in UTC with Z and microseconds, always 27 characters, so that
they sort as instants and read the same on SQLite and PostgreSQL. An instance has no
foreign key to its study, because a flagged conflict may name a study we do not have.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ColumnElement,
    Float,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    MetaData,
    PrimaryKeyConstraint,
    Table,
    Text,
    UniqueConstraint,
)
from sqlalchemy.engine import Dialect
from sqlalchemy.types import TypeDecorator, TypeEngine

from dicomnode.views import utc_text

HEAD = "0011"
"""The revision of the schema that this program reads and writes."""

KNOWN = (*(f"{number:04}" for number in range(1, int(HEAD))), HEAD)
"""Every revision this program can migrate from, the oldest first."""


class Instant(TypeDecorator[datetime]):
    """An aware datetime, kept as UTC text."""

    impl = Text
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        return dialect.type_descriptor(plain_text())

    def process_bind_param(
        self, value: datetime | None, dialect: Dialect
    ) -> str | None:
        return None if value is None else utc_text(value)

    def process_result_value(
        self, value: str | None, dialect: Dialect
    ) -> datetime | None:
        return None if value is None else datetime.fromisoformat(value)


def plain_text() -> TypeEngine[str]:
    """Text that sorts by code point on both databases."""
    return Text().with_variant(Text(collation="C"), "postgresql")


def number() -> TypeEngine[int]:
    """64 bits; INTEGER on SQLite, where only that can count up by itself."""
    return BigInteger().with_variant(Integer(), "sqlite")


def _text(name: str) -> Column[str]:
    return Column(name, plain_text(), nullable=False, server_default="")


def _key(name: str) -> Column[str]:
    return Column(name, plain_text(), nullable=False)


def _count(name: str) -> Column[int]:
    return Column(name, Integer, nullable=False, server_default="0")


def _at(name: str) -> Column[datetime]:
    return Column(name, Instant, nullable=False)


def _maybe_at(name: str) -> Column[datetime]:
    return Column(name, Instant)


def _partial(name: str, where: ColumnElement[bool], *columns: Column[Any]) -> Index:
    return Index(name, *columns, sqlite_where=where, postgresql_where=where)


metadata = MetaData()

studies = Table(
    "studies",
    metadata,
    _key("study_instance_uid"),
    Column("revision", Integer, nullable=False),
    _maybe_at("files_forgotten_at"),
    _maybe_at("held_at"),
    PrimaryKeyConstraint("study_instance_uid"),
)
"""The current revision; on PostgreSQL the row to lock before changing a study.

``held_at``: an admin holds it, so it is not routed and its jobs are not claimed.
"""

revisions = Table(
    "revisions",
    metadata,
    _key("study_instance_uid"),
    Column("revision", Integer, nullable=False),
    _key("state"),
    _text("reason"),
    _at("received_at"),
    _at("last_instance_at"),
    _maybe_at("completed_at"),
    _maybe_at("routed_at"),
    _count("n_series"),
    _count("n_instances"),
    _text("accession_number"),
    _text("modality"),
    _text("calling_ae_title"),
    Column("forced", Boolean, nullable=False),
    _maybe_at("files_forgotten_at"),
    PrimaryKeyConstraint("study_instance_uid", "revision"),
    ForeignKeyConstraint(["study_instance_uid"], ["studies.study_instance_uid"]),
    Index("ix_revisions_state", "state", "received_at"),
    Index("ix_revisions_received_at", "received_at"),
    Index("ix_revisions_sender", "calling_ae_title", "received_at"),
)
"""What is known of each revision; an older one stays as it ended.

``files_forgotten_at``: as that of its study, by a trigger, for the retention's index.
"""

_partial(
    "ix_revisions_kept",
    revisions.c.files_forgotten_at.is_(None),
    revisions.c.routed_at,
    revisions.c.study_instance_uid,
)

series = Table(
    "series",
    metadata,
    _key("study_instance_uid"),
    _key("series_instance_uid"),
    PrimaryKeyConstraint("study_instance_uid", "series_instance_uid"),
    ForeignKeyConstraint(["study_instance_uid"], ["studies.study_instance_uid"]),
)

instances = Table(
    "instances",
    metadata,
    _key("sop_instance_uid"),
    Column("ordinal", Integer, nullable=False),
    _key("study_instance_uid"),
    _key("series_instance_uid"),
    _key("sop_class_uid"),
    _key("transfer_syntax_uid"),
    _key("location"),
    Column("n_bytes", BigInteger, nullable=False),
    _key("sha256"),
    _at("received_at"),
    _text("calling_ae_title"),
    _text("called_ae_title"),
    _text("address"),
    _text("attributes"),
    _maybe_at("forgotten_at"),
    _maybe_at("missing_at"),
    _text("spooled_on"),
    PrimaryKeyConstraint("sop_instance_uid", "ordinal"),
    Index("ix_instances_study", "study_instance_uid"),
    Index("ix_instances_location", "location"),
)
"""Ordinal 0 is the instance; 1 and up are flagged conflicts, kept beside it.

``forgotten_at``: its file is gone, by the retention or, if ``missing_at`` is set too,
by a loss that reconcile has found. ``spooled_on``: the host in whose spool it lies; ""
once every host can read it.
"""

_partial(
    "ix_instances_spooled",
    instances.c.spooled_on != "",
    instances.c.study_instance_uid,
    instances.c.spooled_on,
)

identities = Table(
    "identities",
    metadata,
    _key("study_instance_uid"),
    _text("patient_id"),
    _text("patient_name"),
    _text("patient_birth_date"),
    _text("patient_sex"),
    _text("issuer_of_patient_id"),
    PrimaryKeyConstraint("study_instance_uid"),
    ForeignKeyConstraint(["study_instance_uid"], ["studies.study_instance_uid"]),
)
"""The only table with patient identity."""

jobs = Table(
    "jobs",
    metadata,
    _key("job_id"),
    _key("study_instance_uid"),
    Column("revision", Integer, nullable=False),
    _key("pipeline"),
    Column("priority", Integer, nullable=False),
    _key("state"),
    Column("outcome", plain_text()),
    _text("reason"),
    _text("error"),
    _count("attempts"),
    _text("worker_id"),
    _at("scheduled_at"),
    _at("not_before"),
    _maybe_at("lease_expires_at"),
    _maybe_at("started_at"),
    _maybe_at("finished_at"),
    _text("findings"),
    _maybe_at("followed_at"),
    _maybe_at("held_at"),
    PrimaryKeyConstraint("job_id"),
    UniqueConstraint(
        "study_instance_uid", "revision", "pipeline", name="uq_jobs_pipeline"
    ),
    ForeignKeyConstraint(
        ["study_instance_uid", "revision"],
        ["revisions.study_instance_uid", "revisions.revision"],
    ),
)
"""``findings``: JSON, label to presence. ``followed_at``: the router has seen it."""

Index(
    "ix_jobs_claim",
    jobs.c.state,
    jobs.c.priority.desc(),
    jobs.c.scheduled_at,
    jobs.c.job_id,
)

_partial(
    "ix_jobs_unfollowed",
    jobs.c.followed_at.is_(None),
    jobs.c.state,
    jobs.c.finished_at,
    jobs.c.job_id,
)

_partial(
    "ix_jobs_waiting",
    (jobs.c.state == "SCHEDULED") & jobs.c.held_at.is_(None),
    jobs.c.state,
    jobs.c.scheduled_at,
)

results = Table(
    "results",
    metadata,
    Column("result_id", number(), autoincrement=True),
    Column("job_id", plain_text(), ForeignKey("jobs.job_id"), nullable=False),
    _key("kind"),
    _key("sop_class_uid"),
    _key("sop_instance_uid"),
    _key("series_instance_uid"),
    _key("location"),
    _key("sha256"),
    _at("built_at"),
    _maybe_at("forgotten_at"),
    _maybe_at("missing_at"),
    PrimaryKeyConstraint("result_id"),
    UniqueConstraint("job_id", "sop_instance_uid", name="uq_results_sop"),
    Index("ix_results_sop", "sop_instance_uid"),
    Index("ix_results_location", "location"),
)

deliveries = Table(
    "deliveries",
    metadata,
    Column("delivery_id", number(), autoincrement=True),
    Column("result_id", number(), ForeignKey("results.result_id"), nullable=False),
    Column("job_id", plain_text(), ForeignKey("jobs.job_id"), nullable=False),
    _key("destination"),
    _key("state"),
    _count("attempts"),
    _at("next_attempt_at"),
    _maybe_at("lease_expires_at"),
    Column("status", Integer),
    _text("error"),
    _maybe_at("sent_at"),
    _maybe_at("committed_at"),
    Column("profile_used", plain_text()),
    Column("transaction_uid", plain_text()),
    Column("check_next", plain_text()),
    _maybe_at("check_at"),
    _count("checks"),
    Column("failure_reason", Integer),
    _maybe_at("verified_at"),
    PrimaryKeyConstraint("delivery_id"),
    UniqueConstraint("result_id", "destination", name="uq_deliveries_destination"),
    Index("ix_deliveries_due", "destination", "state", "delivery_id"),
    Index("ix_deliveries_job", "job_id"),
    Index("ix_deliveries_state", "state"),
    Index("ix_deliveries_check", "destination", "check_at"),
)
"""``check_at`` is set as long as a SENT delivery waits for a proof (domain.Check)."""

_partial(
    "ix_deliveries_late",
    (deliveries.c.state == "PENDING") & (deliveries.c.attempts > 0),
    deliveries.c.state,
    deliveries.c.destination,
    deliveries.c.next_attempt_at,
)

absences = Table(
    "absences",
    metadata,
    _key("destination"),
    _at("began_at"),
    _count("attempts"),
    _at("next_attempt_at"),
    _maybe_at("lease_expires_at"),
    _text("error"),
    PrimaryKeyConstraint("destination"),
)
"""Destinations that cannot be reached; ``lease_expires_at``: one process tries it."""

commitments = Table(
    "commitments",
    metadata,
    _key("transaction_uid"),
    _key("destination"),
    _at("requested_at"),
    _maybe_at("answered_at"),
    PrimaryKeyConstraint("transaction_uid"),
)
"""Every transaction that a destination was asked for; an answer may come late."""

workers = Table(
    "workers",
    metadata,
    _key("worker_id"),
    _text("host"),
    _text("device"),
    _text("bundle"),
    _text("state"),
    Column("job_id", plain_text()),
    _at("heartbeat_at"),
    _count("n_jobs"),
    Column("jobs_per_hour", Float, nullable=False, server_default="0"),
    Column("warm_seconds", Float),
    PrimaryKeyConstraint("worker_id"),
)

associations = Table(
    "associations",
    metadata,
    Column("association_id", number(), autoincrement=True),
    _at("at"),
    _text("calling_ae_title"),
    _text("called_ae_title"),
    _text("address"),
    Column("accepted", Integer, nullable=False),
    _text("reason"),
    _text("remedy"),
    PrimaryKeyConstraint("association_id"),
    Index("ix_associations_at", "at"),
    Index("ix_associations_accepted", "accepted", "at"),
)

events = Table(
    "events",
    metadata,
    Column("seq", number(), autoincrement=True),
    _at("at"),
    Column("study_instance_uid", plain_text()),
    Column("job_id", plain_text()),
    _key("kind"),
    Column("state", plain_text()),
    _text("detail"),
    PrimaryKeyConstraint("seq"),
    Index("ix_events_study", "study_instance_uid"),
    Index("ix_events_job", "job_id"),
    sqlite_autoincrement=True,
)
"""The change feed; no number is ever given out twice."""
