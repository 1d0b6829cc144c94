"""How long each worker took to be ready, and an index for the results that are late.

It only adds, so programs of the schema before it go on working: v1_schema stays.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

V1_WORKERS_BEFORE = """VIEW v1_workers AS
SELECT worker_id, host, device, bundle, state, job_id, heartbeat_at,
       n_jobs, jobs_per_hour,
       (SELECT min(j.scheduled_at) FROM jobs j
        WHERE j.state = 'SCHEDULED' AND j.held_at IS NULL) AS queued_since
FROM workers"""
V1_WORKERS = V1_WORKERS_BEFORE.replace(
    "\nFROM workers", ",\n       warm_seconds\nFROM workers"
)

_INDEX = "ix_deliveries_late"


def upgrade() -> None:
    """Add the column, show it, and add the index."""
    op.add_column("workers", sa.Column("warm_seconds", sa.Float))
    late = sa.text("state = 'PENDING' AND attempts > 0")
    op.create_index(
        _INDEX,
        "deliveries",
        ["state", "destination", "next_attempt_at"],
        sqlite_where=late,
        postgresql_where=late,
    )
    if op.get_bind().dialect.name == "postgresql":
        # Replaced in its place, so that rights granted on it stay.
        op.execute(f"CREATE OR REPLACE {V1_WORKERS}")
    else:
        op.execute("DROP VIEW v1_workers")
        op.execute(f"CREATE {V1_WORKERS}")


def downgrade() -> None:
    """Forget them; on PostgreSQL, rights granted on the view must be granted again."""
    op.execute("DROP VIEW v1_workers")
    op.drop_index(_INDEX, "deliveries")
    op.drop_column("workers", "warm_seconds")
    op.execute(f"CREATE {V1_WORKERS_BEFORE}")
