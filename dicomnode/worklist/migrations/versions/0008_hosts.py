"""Several hosts: whose spool an instance lies in, which roles run where; pauses.

It only adds, so programs of the schema before it go on working: v1_schema stays.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

_WORKLIST = """
SELECT r.study_instance_uid, r.revision, r.accession_number, r.modality,
       r.calling_ae_title, r.n_series, r.n_instances, r.state AS study_state,
       j.pipeline, j.job_id, j.state AS job_state, j.outcome,
       CASE WHEN j.job_id IS NULL THEN r.reason ELSE j.reason END AS reason,
       j.attempts, r.received_at, r.completed_at, j.started_at, j.finished_at,
       j.priority, j.error, COALESCE(j.held_at, s.held_at) AS held_at"""

_SPOOLED = """,
       (SELECT min(i.spooled_on) FROM instances i
        WHERE i.study_instance_uid = r.study_instance_uid AND i.spooled_on <> ''
       ) AS spooled_on"""

_JOINED = """
FROM revisions r
LEFT JOIN jobs j
  ON j.study_instance_uid = r.study_instance_uid AND j.revision = r.revision
LEFT JOIN studies s ON s.study_instance_uid = r.study_instance_uid"""

V1_WORKLIST_BEFORE = f"VIEW v1_worklist AS{_WORKLIST}{_JOINED}"
V1_WORKLIST = f"VIEW v1_worklist AS{_WORKLIST}{_SPOOLED}{_JOINED}"

V1_SPOOLS = """
CREATE VIEW v1_spools AS
SELECT spooled_on AS host, count(*) AS n_instances,
       count(DISTINCT study_instance_uid) AS n_studies, min(received_at) AS oldest_at
FROM instances WHERE spooled_on <> '' AND forgotten_at IS NULL
GROUP BY spooled_on
"""

V1_ROLES = """
CREATE VIEW v1_roles AS
SELECT r.process, r.role, r.host, r.version, r.started_at, r.heartbeat_at,
       l.lease_expires_at AS leads_until
FROM roles r LEFT JOIN leaders l
  ON l.name = 'schedulers' AND r.role = 'keep' AND l.holder = r.host || '-' || r.pid
"""

_BACKFILLS = """
SELECT b.backfill_id, b.archive, b.state, b.detail, b.started_at, b.heartbeat_at,
       b.found_at, b.finished_at,
       count(s.state) AS n_found,
       count(CASE WHEN s.state = 'FOUND' THEN 1 END) AS n_waiting,
       count(CASE WHEN s.state = 'ASKED' THEN 1 END) AS n_asked,
       count(CASE WHEN s.state = 'RECEIVED' THEN 1 END) AS n_received,
       count(CASE WHEN s.state = 'ANALYSED' THEN 1 END) AS n_analysed,
       count(CASE WHEN s.state = 'SKIPPED' THEN 1 END) AS n_skipped,
       count(CASE WHEN s.state = 'FAILED' THEN 1 END) AS n_failed"""

_GROUPED = """
FROM backfills b LEFT JOIN backfill_studies s ON s.backfill_id = b.backfill_id
GROUP BY b.backfill_id, b.archive, b.state, b.detail, b.started_at, b.heartbeat_at,
         b.found_at, b.finished_at"""

V1_BACKFILLS_BEFORE = f"VIEW v1_backfills AS{_BACKFILLS}{_GROUPED}"
V1_BACKFILLS = (
    f"VIEW v1_backfills AS{_BACKFILLS},\n"
    f"       b.paused_at, b.stop_asked_at{_GROUPED}, b.paused_at, b.stop_asked_at"
)

_TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
_INDEX = "ix_instances_spooled"


def upgrade() -> None:
    """Add the column with its index, the table of roles, and their views."""
    spooled_on = sa.Column("spooled_on", _TEXT, nullable=False, server_default="")
    op.add_column("instances", spooled_on)
    op.create_index(
        _INDEX,
        "instances",
        ["study_instance_uid", "spooled_on"],
        sqlite_where=sa.text("spooled_on != ''"),
        postgresql_where=sa.text("spooled_on != ''"),
    )
    op.create_table(
        "roles",
        sa.Column("process", _TEXT, nullable=False),
        sa.Column("role", _TEXT, nullable=False),
        sa.Column("host", _TEXT, nullable=False),
        sa.Column("pid", sa.Integer, nullable=False),
        sa.Column("version", _TEXT, nullable=False, server_default=""),
        sa.Column("started_at", _TEXT, nullable=False),
        sa.Column("heartbeat_at", _TEXT, nullable=False),
        sa.PrimaryKeyConstraint("process"),
    )
    op.add_column("backfills", sa.Column("paused_at", _TEXT))
    if op.get_bind().dialect.name == "postgresql":
        # Replaced in their place, so that rights granted on them stay.
        op.execute(f"CREATE OR REPLACE {V1_WORKLIST}")
        op.execute(f"CREATE OR REPLACE {V1_BACKFILLS}")
    else:
        op.execute("DROP VIEW v1_worklist")
        op.execute("DROP VIEW v1_backfills")
        op.execute(f"CREATE {V1_WORKLIST}")
        op.execute(f"CREATE {V1_BACKFILLS}")
    op.execute(V1_SPOOLS)
    op.execute(V1_ROLES)


def downgrade() -> None:
    """Forget them: hand over every spool before.

    PostgreSQL cannot take columns from a view: rights granted on it must be granted
    again.
    """
    for view in ("v1_worklist", "v1_backfills", "v1_spools", "v1_roles"):
        op.execute(f"DROP VIEW {view}")
    op.drop_table("roles")
    op.drop_index(_INDEX, table_name="instances")
    op.drop_column("instances", "spooled_on")
    op.drop_column("backfills", "paused_at")
    op.execute(f"CREATE {V1_WORKLIST_BEFORE}")
    op.execute(f"CREATE {V1_BACKFILLS_BEFORE}")
