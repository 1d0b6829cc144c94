"""What is brought in from an archive's history; and who can work on this schema."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

V1_BACKFILLS = """
CREATE VIEW v1_backfills AS
SELECT b.backfill_id, b.archive, b.state, b.detail, b.started_at, b.heartbeat_at,
       b.found_at, b.finished_at,
       count(s.state) AS n_found,
       count(CASE WHEN s.state = 'FOUND' THEN 1 END) AS n_waiting,
       count(CASE WHEN s.state = 'ASKED' THEN 1 END) AS n_asked,
       count(CASE WHEN s.state = 'RECEIVED' THEN 1 END) AS n_received,
       count(CASE WHEN s.state = 'ANALYSED' THEN 1 END) AS n_analysed,
       count(CASE WHEN s.state = 'SKIPPED' THEN 1 END) AS n_skipped,
       count(CASE WHEN s.state = 'FAILED' THEN 1 END) AS n_failed
FROM backfills b LEFT JOIN backfill_studies s ON s.backfill_id = b.backfill_id
GROUP BY b.backfill_id, b.archive, b.state, b.detail, b.started_at, b.heartbeat_at,
         b.found_at, b.finished_at
"""

V1_BACKFILL_STUDIES = """
CREATE VIEW v1_backfill_studies AS
SELECT backfill_id, study_instance_uid, n_instances, state, reason, attempts,
       changed_at
FROM backfill_studies
"""

COMPATIBLE_FROM = revision
V1_SCHEMA = f"CREATE VIEW v1_schema AS SELECT '{COMPATIBLE_FROM}' AS compatible_from"

_TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    """Add the tables and views of backfills, and the mark of compatible programs."""
    _backfills()
    _backfill_studies()
    op.execute(V1_BACKFILLS)
    op.execute(V1_BACKFILL_STUDIES)
    op.execute(V1_SCHEMA)


def downgrade() -> None:
    """Forget them; what they have brought in stays."""
    op.execute("DROP VIEW v1_schema")
    op.execute("DROP VIEW v1_backfill_studies")
    op.execute("DROP VIEW v1_backfills")
    op.drop_table("backfill_studies")
    op.drop_table("backfills")


def _backfills() -> None:
    op.create_table(
        "backfills",
        sa.Column("backfill_id", _TEXT, nullable=False),
        sa.Column("archive", _TEXT, nullable=False),
        sa.Column("query", _TEXT, nullable=False),
        sa.Column("most_studies", sa.Integer, nullable=False, server_default="0"),
        sa.Column("state", _TEXT, nullable=False),
        sa.Column("holder", _TEXT, nullable=False),
        sa.Column("detail", _TEXT, nullable=False, server_default=""),
        sa.Column("started_at", _TEXT, nullable=False),
        sa.Column("heartbeat_at", _TEXT, nullable=False),
        sa.Column("found_at", _TEXT),
        sa.Column("stop_asked_at", _TEXT),
        sa.Column("finished_at", _TEXT),
        sa.PrimaryKeyConstraint("backfill_id"),
    )


def _backfill_studies() -> None:
    op.create_table(
        "backfill_studies",
        sa.Column("backfill_id", _TEXT, nullable=False),
        sa.Column("study_instance_uid", _TEXT, nullable=False),
        sa.Column("n_instances", sa.Integer),
        sa.Column("state", _TEXT, nullable=False),
        sa.Column("reason", _TEXT, nullable=False, server_default=""),
        sa.Column("attempts", sa.Integer, nullable=False, server_default="0"),
        sa.Column("changed_at", _TEXT),
        sa.PrimaryKeyConstraint("backfill_id", "study_instance_uid"),
        sa.ForeignKeyConstraint(["backfill_id"], ["backfills.backfill_id"]),
    )
    for name, columns in (
        ("state", ["backfill_id", "state", "study_instance_uid"]),
        ("study", ["study_instance_uid", "state"]),
    ):
        op.create_index(f"ix_backfill_studies_{name}", "backfill_studies", columns)
