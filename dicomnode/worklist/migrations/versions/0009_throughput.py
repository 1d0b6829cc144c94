"""How much each worker gets done, and since when the oldest waiting job waits.

It only adds, so programs of the schema before it go on working: v1_schema stays.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

V1_WORKERS_BEFORE = """VIEW v1_workers AS
SELECT worker_id, host, device, bundle, state, job_id, heartbeat_at FROM workers"""
V1_WORKERS = """VIEW v1_workers AS
SELECT worker_id, host, device, bundle, state, job_id, heartbeat_at,
       n_jobs, jobs_per_hour,
       (SELECT min(j.scheduled_at) FROM jobs j
        WHERE j.state = 'SCHEDULED' AND j.held_at IS NULL) AS queued_since
FROM workers"""


def upgrade() -> None:
    """Add the columns, and show them."""
    for name, kind in (("n_jobs", sa.Integer), ("jobs_per_hour", sa.Float)):
        column = sa.Column(name, kind, nullable=False, server_default="0")
        op.add_column("workers", column)
    if op.get_bind().dialect.name == "postgresql":
        # Replaced in its place, so that rights granted on it stay.
        op.execute(f"CREATE OR REPLACE {V1_WORKERS}")
    else:
        op.execute("DROP VIEW v1_workers")
        op.execute(f"CREATE {V1_WORKERS}")


def downgrade() -> None:
    """Forget them; on PostgreSQL, rights granted on the view must be granted again."""
    op.execute("DROP VIEW v1_workers")
    for name in ("n_jobs", "jobs_per_hour"):
        op.drop_column("workers", name)
    op.execute(f"CREATE {V1_WORKERS_BEFORE}")
