"""How many studies, jobs and deliveries are in each state, without counting them.

Every change of a state leaves a row here, by a trigger of the database itself, so in
the same transaction and whichever program or person makes it: one less in the old
state, one more in the new. Their sums are the counts (view ``v1_counts``). A counter
that each transaction changed would be a lock that all of them wait for; rows that are
only added are none. The keeper folds them (``fold``), so that there are never many.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    PrimaryKeyConstraint,
    Select,
    Table,
    delete,
    func,
    literal,
    select,
    union_all,
)

from dicomnode.worklist.engine import Database, Transaction
from dicomnode.worklist.schema import (
    deliveries,
    jobs,
    metadata,
    number,
    plain_text,
    revisions,
    studies,
)

FOLD_AT = 500
"""So many rows are summed in a fraction of a millisecond."""
_AT_ONCE = 20_000

state_counts = Table(
    "state_counts",
    metadata,
    Column("count_id", number(), autoincrement=True),
    Column("kind", plain_text(), nullable=False),
    Column("state", plain_text(), nullable=False),
    Column("n", BigInteger, nullable=False),
    PrimaryKeyConstraint("count_id"),
    info={"derived": True},
)
"""``kind``: study, job or delivery. Triggers fill it, so that it is never copied."""

Key = tuple[str, str]
"""(kind, state)"""


def wrong(connection: Connection) -> Mapping[Key, int]:
    """What the counts lack, or, negative, have too much; it reads every row.

    One statement, so that it sees one moment of all tables.
    """
    current = (revisions.c.study_instance_uid == studies.c.study_instance_uid) & (
        revisions.c.revision == studies.c.revision
    )
    told = union_all(
        select(state_counts.c.kind, state_counts.c.state, -state_counts.c.n),
        _states("study", revisions).join(studies, current),
        _states("job", jobs),
        _states("delivery", deliveries),
    ).subquery()
    kind, state, n = told.c
    off = select(kind, state, func.sum(n)).group_by(kind, state)
    found = connection.execute(off.having(func.sum(n) != 0).order_by(kind, state))
    return _summed(found)


def correct(transaction: Transaction) -> Mapping[Key, int]:
    """Make the counts right; what they lacked."""
    # Two who correct at once would do it twice.
    transaction.lock_migrations()
    found = wrong(transaction.connection)
    add(transaction, found)
    return found


def as_text(counts: Mapping[Key, int]) -> str:
    """``job FAILED -1, study ROUTED +2``"""
    return ", ".join(f"{kind} {state} {n:+d}" for (kind, state), n in counts.items())


def add(transaction: Transaction, counts: Mapping[Key, int]) -> None:
    """Change the counts by so much."""
    rows = [
        {"kind": kind, "state": state, "n": n}
        for (kind, state), n in counts.items()
        if n
    ]
    if rows:
        transaction.insert(state_counts, rows)


def fold(database: Database) -> int:
    """Put one row in the place of many, if there are many; how many those were."""
    n_folded = 0
    while _are_many(database):
        with database.write() as transaction:
            n_folded += _fold_oldest(transaction)
    return n_folded


def _are_many(database: Database) -> bool:
    some = select(state_counts.c.count_id).limit(FOLD_AT).subquery()
    with database.read() as connection:
        found = connection.execute(select(func.count()).select_from(some))
        return found.scalar() == FOLD_AT


def _fold_oldest(transaction: Transaction) -> int:
    """What is put in place of rows is what was deleted; others may add meanwhile."""
    oldest = select(state_counts.c.count_id).order_by(state_counts.c.count_id)
    gone = transaction.rows(
        delete(state_counts)
        .where(state_counts.c.count_id.in_(oldest.limit(_AT_ONCE)))
        .returning(state_counts.c.kind, state_counts.c.state, state_counts.c.n)
    )
    add(transaction, _summed(gone))
    return len(gone)


def _states(kind: str, table: Table) -> Select[Any]:
    state = table.c.state
    return select(literal(kind), state, func.count()).group_by(state)


def _summed(rows: Iterable[Any]) -> Counter[Key]:
    sums: Counter[Key] = Counter()
    for kind, state, n in rows:
        sums[kind, state] += int(n)
    return sums
