"""A destination that cannot be reached is one row, and its deliveries wait for it."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

_COLUMNS = """
       d.sent_at, d.committed_at,
       d.profile_used, d.transaction_uid, d.check_at, d.verified_at
FROM deliveries d JOIN results r ON r.result_id = d.result_id"""

V1_DELIVERIES_BEFORE = f"""
VIEW v1_deliveries AS
SELECT d.job_id, d.destination, r.kind AS result_kind, r.sop_instance_uid, d.state,
       d.attempts, d.next_attempt_at, d.status, d.error,{_COLUMNS}
"""

V1_DELIVERIES = f"""
VIEW v1_deliveries AS
SELECT d.job_id, d.destination, r.kind AS result_kind, r.sop_instance_uid, d.state,
       d.attempts,
       CASE WHEN d.state = 'PENDING' AND a.next_attempt_at > d.next_attempt_at
            THEN a.next_attempt_at ELSE d.next_attempt_at END AS next_attempt_at,
       d.status,
       CASE WHEN d.state = 'PENDING' AND a.error IS NOT NULL
            THEN a.error ELSE d.error END AS error,{_COLUMNS}
LEFT JOIN absences a ON a.destination = d.destination
"""

V1_ABSENCES = """
CREATE VIEW v1_absences AS
SELECT a.destination, a.began_at, a.attempts, a.next_attempt_at, a.error,
       (SELECT count(*) FROM deliveries d
        WHERE d.destination = a.destination AND d.state = 'PENDING') AS n_waiting
FROM absences a
WHERE EXISTS (SELECT 1 FROM deliveries d WHERE d.destination = a.destination
              AND (d.state = 'PENDING' OR d.check_at IS NOT NULL))
"""

_TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    """Add the absences, and what a waiting delivery shows of them."""
    op.create_table(
        "absences",
        sa.Column("destination", _TEXT, nullable=False),
        sa.Column("began_at", _TEXT, nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False, server_default="0"),
        sa.Column("next_attempt_at", _TEXT, nullable=False),
        sa.Column("lease_expires_at", _TEXT),
        sa.Column("error", _TEXT, nullable=False, server_default=""),
        sa.PrimaryKeyConstraint("destination"),
    )
    _replace(V1_DELIVERIES)
    op.execute(V1_ABSENCES)


def downgrade() -> None:
    """Forget them: each delivery is due at its own time."""
    op.execute("DROP VIEW v1_absences")
    _replace(V1_DELIVERIES_BEFORE)
    op.drop_table("absences")


def _replace(view: str) -> None:
    if op.get_bind().dialect.name == "postgresql":
        # Replaced in its place, so that rights granted on it stay.
        op.execute(f"CREATE OR REPLACE {view}")
    else:
        op.execute("DROP VIEW v1_deliveries")
        op.execute(f"CREATE {view}")
