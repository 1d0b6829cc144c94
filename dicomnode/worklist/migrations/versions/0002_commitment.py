"""Storage commitment, which profile a destination got, and pipelines after others."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

V1_DELIVERIES_BEFORE = """
VIEW v1_deliveries AS
SELECT d.job_id, d.destination, r.kind AS result_kind, r.sop_instance_uid, d.state,
       d.attempts, d.next_attempt_at, d.status, d.error, d.sent_at, d.committed_at
FROM deliveries d JOIN results r ON r.result_id = d.result_id
"""

V1_DELIVERIES = """
VIEW v1_deliveries AS
SELECT d.job_id, d.destination, r.kind AS result_kind, r.sop_instance_uid, d.state,
       d.attempts, d.next_attempt_at, d.status, d.error, d.sent_at, d.committed_at,
       d.profile_used, d.transaction_uid, d.check_at, d.verified_at
FROM deliveries d JOIN results r ON r.result_id = d.result_id
"""

_TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
_CANCELED = (
    "UPDATE deliveries SET state = 'FAILED' WHERE state = 'CANCELED'"  # unknown before
)
# What ended before is history: a pipeline that comes after others starts with new jobs.
_FOLLOWED = (
    "UPDATE jobs SET followed_at = COALESCE(finished_at, scheduled_at) "
    "WHERE state = 'COMPLETED'"
)
_UNFOLLOWED = sa.text("followed_at IS NULL")


def upgrade() -> None:
    """Add what storage commitment, fall-back and followers have to remember."""
    for column in _job_columns():
        op.add_column("jobs", column)
    op.execute(_FOLLOWED)
    op.create_index(
        "ix_jobs_unfollowed",
        "jobs",
        ["state", "finished_at", "job_id"],
        sqlite_where=_UNFOLLOWED,
        postgresql_where=_UNFOLLOWED,
    )
    for column in _columns():
        op.add_column("deliveries", column)
    op.create_index("ix_deliveries_check", "deliveries", ["destination", "check_at"])
    op.create_table(
        "commitments",
        sa.Column("transaction_uid", _TEXT, nullable=False),
        sa.Column("destination", _TEXT, nullable=False),
        sa.Column("requested_at", _TEXT, nullable=False),
        sa.Column("answered_at", _TEXT),
        sa.PrimaryKeyConstraint("transaction_uid"),
    )
    if op.get_bind().dialect.name == "postgresql":
        # Replaced in its place, so that rights granted on it stay.
        op.execute(f"CREATE OR REPLACE {V1_DELIVERIES}")
    else:
        _replace_view(V1_DELIVERIES)


def downgrade() -> None:
    """Forget it; a canceled delivery becomes a dead letter, so that it stays visible.

    PostgreSQL cannot take columns from a view: rights granted on it must be granted
    again.
    """
    op.execute("DROP VIEW v1_deliveries")
    op.execute(_CANCELED)
    op.drop_table("commitments")
    op.drop_index("ix_deliveries_check", "deliveries")
    for column in reversed(_columns()):
        op.drop_column("deliveries", column.name)
    op.drop_index("ix_jobs_unfollowed", "jobs")
    for column in reversed(_job_columns()):
        op.drop_column("jobs", column.name)
    op.execute(f"CREATE {V1_DELIVERIES_BEFORE}")


def _replace_view(view: str) -> None:
    op.execute("DROP VIEW v1_deliveries")
    op.execute(f"CREATE {view}")


def _job_columns() -> list[sa.Column[object]]:
    return [
        sa.Column("findings", _TEXT, nullable=False, server_default=""),
        sa.Column("followed_at", _TEXT),
    ]


def _columns() -> list[sa.Column[object]]:
    return [
        sa.Column("profile_used", _TEXT),
        sa.Column("transaction_uid", _TEXT),
        sa.Column("check_next", _TEXT),
        sa.Column("check_at", _TEXT),
        sa.Column("checks", sa.Integer, nullable=False, server_default="0"),
        sa.Column("failure_reason", sa.Integer),
        sa.Column("verified_at", _TEXT),
    ]
