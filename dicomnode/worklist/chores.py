"""The chores of the keeper, each with its last run."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from sqlalchemy import (
    Column,
    Float,
    Integer,
    PrimaryKeyConstraint,
    Table,
    func,
    select,
    update,
)
from sqlalchemy import delete as remove

from dicomnode.domain.chore import ChoreRun, goes_on
from dicomnode.worklist.engine import Database, Transaction
from dicomnode.worklist.schema import Instant, metadata, plain_text

chores = Table(
    "chores",
    metadata,
    Column("name", plain_text(), nullable=False),
    Column("every_seconds", Float, nullable=False),
    Column("holder", plain_text(), nullable=False),
    Column("enlisted_at", Instant, nullable=False),
    Column("began_at", Instant),
    Column("ended_at", Instant),
    Column("n_done", Integer, nullable=False, server_default="0"),
    Column("last_done_at", Instant),
    Column("succeeded_at", Instant),
    Column("failed_at", Instant),
    Column("error", plain_text(), nullable=False, server_default=""),
    PrimaryKeyConstraint("name"),
)
"""``enlisted_at``: since when a keeper runs it; ``error`` is that of ``failed_at``."""


class ChoreRuns:
    """Implements ``ports.ChoreRuns``."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def enlist(
        self, every_seconds: Mapping[str, float], holder: str, now: datetime
    ) -> None:
        """From ``now`` on ``holder`` runs these chores, by name, and no others.

        What is known of a chore that was there before stays, with the time since when
        it is run if there was no pause (``domain.chore.goes_on``).
        """
        with self._database.write() as transaction:
            (last,) = transaction.rows(select(func.max(chores.c.ended_at)))
            since = {} if goes_on(last[0], now) else {"enlisted_at": now}
            transaction.execute(
                remove(chores).where(chores.c.name.not_in(sorted(every_seconds)))
            )
            for name, seconds in sorted(every_seconds.items()):
                values = {"every_seconds": seconds, "holder": holder}
                new = {"name": name, "enlisted_at": now, **values}
                if not transaction.insert_missing(chores, new):
                    _set(transaction, name, {**values, **since})

    def ran(self, run: ChoreRun) -> None:
        """Note a run as the last one of its chore; one that is not enlisted is none."""
        values: dict[str, object] = {
            "began_at": run.began_at,
            "ended_at": run.ended_at,
            "n_done": run.n_done,
        }
        if run.n_done:
            values["last_done_at"] = run.ended_at
        if run.error:
            values |= {"failed_at": run.ended_at, "error": run.error}
        else:
            values["succeeded_at"] = run.ended_at
        with self._database.write() as transaction:
            _set(transaction, run.name, values)


def _set(transaction: Transaction, name: str, values: Mapping[str, object]) -> None:
    transaction.execute(update(chores).where(chores.c.name == name).values(values))
