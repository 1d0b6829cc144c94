"""What the keeper does, each chore with its last run.

It only adds, so programs of the schema before it go on working: v1_schema stays.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

V1_CHORES = """
CREATE VIEW v1_chores AS
SELECT c.name, c.every_seconds, c.began_at, c.ended_at, c.n_done, c.last_done_at,
       c.succeeded_at, c.failed_at, c.error, c.holder, c.enlisted_at,
       l.lease_expires_at AS led_until
FROM chores c LEFT JOIN leaders l ON l.name = 'schedulers' AND l.holder = c.holder
"""

_TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    """Add the chores and their view."""
    op.create_table(
        "chores",
        sa.Column("name", _TEXT, nullable=False),
        sa.Column("every_seconds", sa.Float, nullable=False),
        sa.Column("holder", _TEXT, nullable=False),
        sa.Column("enlisted_at", _TEXT, nullable=False),
        sa.Column("began_at", _TEXT),
        sa.Column("ended_at", _TEXT),
        sa.Column("n_done", sa.Integer, nullable=False, server_default="0"),
        sa.Column("last_done_at", _TEXT),
        sa.Column("succeeded_at", _TEXT),
        sa.Column("failed_at", _TEXT),
        sa.Column("error", _TEXT, nullable=False, server_default=""),
        sa.PrimaryKeyConstraint("name"),
    )
    op.execute(V1_CHORES)


def downgrade() -> None:
    """Forget them; the chores themselves find their work in the worklist."""
    op.execute("DROP VIEW v1_chores")
    op.drop_table("chores")
