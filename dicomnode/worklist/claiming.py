"""Deliveries are claimed for a lease, to be sent or to be checked.

From a destination that is absent there is nothing to claim until its next attempt; then
there is one delivery, for one process: the attempt. It is the least tried one, so that
an object on which the destination chokes is not tried for all the others.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, TypeVar

from sqlalchemy import (
    BindParameter,
    ColumnElement,
    Connection,
    Integer,
    Select,
    bindparam,
    or_,
    select,
    update,
)

from dicomnode.worklist.engine import Database, Transaction, walk_in_order
from dicomnode.worklist.prepared import Prepared, instant
from dicomnode.worklist.schema import Instant, absences, deliveries

T = TypeVar("T")

TO: BindParameter[str] = bindparam("to")
NOW: BindParameter[datetime] = bindparam("now", type_=Instant())
"""The parameters of what may be claimed: for which destination, and when."""

_MOST = bindparam("most", type_=Integer())
_UNTIL: BindParameter[datetime] = bindparam("until", type_=Instant())
_ABSENCE = select(absences.c.next_attempt_at, absences.c.lease_expires_at).where(
    absences.c.destination == TO
)
_AWAY, _AWAY_LOCKED = Prepared(_ABSENCE), Prepared(_ABSENCE.with_for_update())
_LEASE = Prepared(
    update(deliveries)
    .where(deliveries.c.delivery_id == bindparam("number"))
    .values(lease_expires_at=_UNTIL)
)
_LEASE_ABSENT = Prepared(
    update(absences).where(absences.c.destination == TO).values(lease_expires_at=_UNTIL)
)


@dataclass(frozen=True, slots=True)
class Claim:
    """Who claims for which destination, for how long, and how many at most."""

    destination: str
    now: datetime
    lease_seconds: float
    limit: int

    @property
    def lease_expires_at(self) -> datetime:
        """When others may claim the same."""
        return self.now + timedelta(seconds=self.lease_seconds)


class Claimable:
    """The statements that find the numbers of what is wanted, built once.

    ``wanted``: with the parameters TO and NOW, in the order in which it is claimed.
    """

    def __init__(self, wanted: Select[Any]) -> None:
        least_tried = (deliveries.c.attempts, deliveries.c.delivery_id)
        both = (
            wanted.limit(_MOST),
            wanted.order_by(None).order_by(*least_tried).limit(_MOST),
        )
        self.shown = tuple(Prepared(one) for one in both)
        locked = (one.with_for_update(skip_locked=True) for one in both)
        self.locked = tuple(Prepared(one) for one in locked)


def claimed(
    database: Database,
    claim: Claim,
    wanted: Claimable,
    load: Callable[[Transaction, Sequence[int]], Sequence[T]],
) -> Sequence[T]:
    """Claim the deliveries that ``wanted`` finds, as ``load`` reads them by number."""
    with database.read() as connection:
        walk_in_order(connection)
        if not _found(connection, claim, _AWAY, wanted.shown):
            return []
    with database.write() as transaction:
        walk_in_order(transaction.connection)
        found = _found(transaction.connection, claim, _AWAY_LOCKED, wanted.locked)
        if not found:
            return []
        _lease(transaction, claim, found)
        return load(transaction, found)


def put_back(database: Database, ids: Sequence[int]) -> None:
    """End the lease of claimed deliveries with which nothing was done."""
    if not ids:
        return
    with database.write() as transaction:
        transaction.execute(
            update(deliveries)
            .where(deliveries.c.delivery_id.in_(ids))
            .values(lease_expires_at=None)
        )


def is_free(now: datetime | BindParameter[datetime]) -> ColumnElement[bool]:
    """The condition that nobody has claimed a delivery."""
    lease = deliveries.c.lease_expires_at
    return or_(lease.is_(None), lease <= now)


def _found(
    connection: Connection,
    claim: Claim,
    absence: Prepared,
    wanted: Sequence[Prepared],
) -> list[int]:
    """The numbers of what may be claimed now."""
    usual, least_tried = wanted
    away = absence.run(connection, [{"to": claim.destination}])
    if away and not _may_be_tried(away[0], claim.now):
        return []
    values = {"to": claim.destination, "now": claim.now}
    statement, most = (least_tried, 1) if away else (usual, claim.limit)
    found = statement.run(connection, [{**values, "most": most}])
    return [row.delivery_id for row in found]


def _may_be_tried(away: Any, now: datetime) -> bool:
    """An absent destination whose next attempt is due, and nobody is at it."""
    lease = away.lease_expires_at
    is_being_tried = lease is not None and instant(lease) > now
    return instant(away.next_attempt_at) <= now and not is_being_tried


def _lease(transaction: Transaction, claim: Claim, ids: Sequence[int]) -> None:
    until = claim.lease_expires_at
    transaction.run(_LEASE, [{"number": one, "until": until} for one in ids])
    transaction.run(_LEASE_ABSENT, [{"to": claim.destination, "until": until}])
