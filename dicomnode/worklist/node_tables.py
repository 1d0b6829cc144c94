"""Tables of the node itself: who leads, what is paused, whether all was balanced."""

from __future__ import annotations

from sqlalchemy import Column, Integer, PrimaryKeyConstraint, Table

from dicomnode.worklist.schema import Instant, metadata, number, plain_text

leaders = Table(
    "leaders",
    metadata,
    Column("name", plain_text(), nullable=False),
    Column("holder", plain_text(), nullable=False),
    Column("lease_expires_at", Instant, nullable=False),
    PrimaryKeyConstraint("name"),
)

pauses = Table(
    "pauses",
    metadata,
    Column("service", plain_text(), nullable=False),
    Column("pipeline", plain_text(), nullable=False, server_default=""),
    Column("paused_at", Instant, nullable=False),
    Column("detail", plain_text(), nullable=False, server_default=""),
    PrimaryKeyConstraint("service", "pipeline"),
)
"""What an admin has stopped: ``receive``, or ``work`` of one or of every pipeline."""

reconciliations = Table(
    "reconciliations",
    metadata,
    Column("reconciliation_id", number(), autoincrement=True),
    Column("started_at", Instant, nullable=False),
    Column("finished_at", Instant, nullable=False),
    Column("balanced", Integer, nullable=False),
    Column("n_found", Integer, nullable=False, server_default="0"),
    Column("n_repaired", Integer, nullable=False, server_default="0"),
    Column("detail", plain_text(), nullable=False, server_default=""),
    PrimaryKeyConstraint("reconciliation_id"),
)
"""The outcome of each reconcile; ``detail`` is JSON with the sums."""
