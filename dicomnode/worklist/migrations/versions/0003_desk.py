"""What an admin holds, pauses and reconciles."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_WORKLIST = """
SELECT r.study_instance_uid, r.revision, r.accession_number, r.modality,
       r.calling_ae_title, r.n_series, r.n_instances, r.state AS study_state,
       j.pipeline, j.job_id, j.state AS job_state, j.outcome,
       CASE WHEN j.job_id IS NULL THEN r.reason ELSE j.reason END AS reason,
       j.attempts, r.received_at, r.completed_at, j.started_at, j.finished_at,
       j.priority, j.error"""

_JOINED = """
FROM revisions r
LEFT JOIN jobs j
  ON j.study_instance_uid = r.study_instance_uid AND j.revision = r.revision"""

_HELD = """
LEFT JOIN studies s ON s.study_instance_uid = r.study_instance_uid"""

V1_WORKLIST_BEFORE = f"VIEW v1_worklist AS{_WORKLIST}{_JOINED}"
V1_WORKLIST = (
    f"VIEW v1_worklist AS{_WORKLIST},\n"
    f"       COALESCE(j.held_at, s.held_at) AS held_at{_JOINED}{_HELD}"
)

V1_PAUSES = """
CREATE VIEW v1_pauses AS
SELECT service, pipeline, paused_at, detail FROM pauses
"""

V1_RECONCILIATIONS = """
CREATE VIEW v1_reconciliations AS
SELECT started_at, finished_at, balanced, n_found, n_repaired, detail
FROM reconciliations
"""

_TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
_NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_COLUMNS = (
    ("studies", "held_at"),
    ("instances", "missing_at"),
    ("jobs", "held_at"),
    ("results", "forgotten_at"),
    ("results", "missing_at"),
)
# What the retention has removed before is known of studies only.
_FORGOTTEN = """
UPDATE results SET forgotten_at = (
  SELECT s.files_forgotten_at FROM studies s
  JOIN jobs j ON j.study_instance_uid = s.study_instance_uid
  WHERE j.job_id = results.job_id)
"""


def upgrade() -> None:
    """Add the columns and tables of hold, pause and reconcile, and their views."""
    for table, column in _COLUMNS:
        op.add_column(table, sa.Column(column, _TEXT))
    op.execute(_FORGOTTEN)
    _pauses()
    _reconciliations()
    if op.get_bind().dialect.name == "postgresql":
        # Replaced in its place, so that rights granted on it stay.
        op.execute(f"CREATE OR REPLACE {V1_WORKLIST}")
    else:
        op.execute("DROP VIEW v1_worklist")
        op.execute(f"CREATE {V1_WORKLIST}")
    op.execute(V1_PAUSES)
    op.execute(V1_RECONCILIATIONS)


def downgrade() -> None:
    """Forget them: what was held or paused goes on.

    PostgreSQL cannot take columns from a view: rights granted on it must be granted
    again.
    """
    for view in ("v1_worklist", "v1_pauses", "v1_reconciliations"):
        op.execute(f"DROP VIEW {view}")
    op.drop_table("reconciliations")
    op.drop_table("pauses")
    for table, column in reversed(_COLUMNS):
        op.drop_column(table, column)
    op.execute(f"CREATE {V1_WORKLIST_BEFORE}")


def _pauses() -> None:
    op.create_table(
        "pauses",
        sa.Column("service", _TEXT, nullable=False),
        sa.Column("pipeline", _TEXT, nullable=False, server_default=""),
        sa.Column("paused_at", _TEXT, nullable=False),
        sa.Column("detail", _TEXT, nullable=False, server_default=""),
        sa.PrimaryKeyConstraint("service", "pipeline"),
    )


def _reconciliations() -> None:
    op.create_table(
        "reconciliations",
        sa.Column("reconciliation_id", _NUMBER, autoincrement=True),
        sa.Column("started_at", _TEXT, nullable=False),
        sa.Column("finished_at", _TEXT, nullable=False),
        sa.Column("balanced", sa.Integer, nullable=False),
        sa.Column("n_found", sa.Integer, nullable=False, server_default="0"),
        sa.Column("n_repaired", sa.Integer, nullable=False, server_default="0"),
        sa.Column("detail", _TEXT, nullable=False, server_default=""),
        sa.PrimaryKeyConstraint("reconciliation_id"),
    )
