"""The tables of backfills; private as all tables."""

from __future__ import annotations

from sqlalchemy import (
    Column,
    ColumnElement,
    ForeignKeyConstraint,
    Index,
    Integer,
    PrimaryKeyConstraint,
    Table,
    exists,
)

from dicomnode.domain.backfill import IN_FLIGHT
from dicomnode.worklist.prepared import one_of
from dicomnode.worklist.schema import Instant, metadata, plain_text

backfills = Table(
    "backfills",
    metadata,
    Column("backfill_id", plain_text(), nullable=False),
    Column("archive", plain_text(), nullable=False),
    Column("query", plain_text(), nullable=False),
    Column("most_studies", Integer, nullable=False, server_default="0"),
    Column("state", plain_text(), nullable=False),
    Column("holder", plain_text(), nullable=False),
    Column("detail", plain_text(), nullable=False, server_default=""),
    Column("started_at", Instant, nullable=False),
    Column("heartbeat_at", Instant, nullable=False),
    Column("found_at", Instant),
    Column("stop_asked_at", Instant),
    Column("finished_at", Instant),
    Column("paused_at", Instant),
    PrimaryKeyConstraint("backfill_id"),
)
"""``query``: JSON; it may name a patient, so no view shows it."""

backfill_studies = Table(
    "backfill_studies",
    metadata,
    Column("backfill_id", plain_text(), nullable=False),
    Column("study_instance_uid", plain_text(), nullable=False),
    Column("n_instances", Integer),
    Column("state", plain_text(), nullable=False),
    Column("reason", plain_text(), nullable=False, server_default=""),
    Column("attempts", Integer, nullable=False, server_default="0"),
    Column("changed_at", Instant),
    PrimaryKeyConstraint("backfill_id", "study_instance_uid"),
    ForeignKeyConstraint(["backfill_id"], ["backfills.backfill_id"]),
    Index("ix_backfill_studies_state", "backfill_id", "state", "study_instance_uid"),
    Index("ix_backfill_studies_study", "study_instance_uid", "state"),
)
"""Studies have no foreign key: most are found long before they come."""


def is_backfilled(study_instance_uid: ColumnElement[str]) -> ColumnElement[bool]:
    """The condition that a backfill has asked for a study and is not done with it."""
    return exists().where(
        backfill_studies.c.study_instance_uid == study_instance_uid,
        one_of(backfill_studies.c.state, [one.value for one in IN_FLIGHT]),
    )
