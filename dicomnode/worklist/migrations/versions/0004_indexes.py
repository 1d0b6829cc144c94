"""Indexes for what the lists ask for on a worklist of years."""

from __future__ import annotations

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """The newest studies of one sender, and deliveries in one state."""
    op.create_index(
        "ix_revisions_sender", "revisions", ["calling_ae_title", "received_at"]
    )
    op.create_index("ix_deliveries_state", "deliveries", ["state"])


def downgrade() -> None:
    """Without them the same answers take longer."""
    op.drop_index("ix_deliveries_state", "deliveries")
    op.drop_index("ix_revisions_sender", "revisions")
