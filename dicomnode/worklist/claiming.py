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

from sqlalchemy import ColumnElement, Connection, Row, Select, or_, select, update

from dicomnode.worklist.engine import Database, Transaction, walk_in_order
from dicomnode.worklist.schema import absences, deliveries

T = TypeVar("T")


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


def claimed(
    database: Database,
    claim: Claim,
    wanted: Select[Any],
    load: Callable[[Transaction, ColumnElement[bool]], Sequence[T]],
) -> Sequence[T]:
    """Claim the deliveries whose numbers ``wanted`` finds, as ``load`` reads them."""
    with database.read() as connection:
        walk_in_order(connection)
        asked = _allowed(connection, claim, wanted, _absence(claim))
        if asked is None or connection.execute(asked).first() is None:
            return []
    with database.write() as transaction:
        walk_in_order(transaction.connection)
        absence = _absence(claim).with_for_update()
        asked = _allowed(transaction.connection, claim, wanted, absence)
        if asked is None:
            return []
        found = transaction.rows(asked.with_for_update(skip_locked=True))
        if not found:
            return []
        claimed_ones = deliveries.c.delivery_id.in_([row.delivery_id for row in found])
        _lease(transaction, claim, claimed_ones)
        return load(transaction, claimed_ones)


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


def is_free(now: datetime) -> ColumnElement[bool]:
    """The condition that nobody has claimed a delivery."""
    lease = deliveries.c.lease_expires_at
    return or_(lease.is_(None), lease <= now)


def _absence(claim: Claim) -> Select[Any]:
    return select(absences).where(absences.c.destination == claim.destination)


def _allowed(
    connection: Connection, claim: Claim, wanted: Select[Any], absence: Select[Any]
) -> Select[Any] | None:
    """What may be claimed of ``wanted`` now."""
    away = connection.execute(absence).first()
    if away is None:
        return wanted.limit(claim.limit)
    if away.next_attempt_at > claim.now or _is_being_tried(away, claim.now):
        return None
    least_tried = (deliveries.c.attempts, deliveries.c.delivery_id)
    return wanted.order_by(None).order_by(*least_tried).limit(1)


def _is_being_tried(away: Row[Any], now: datetime) -> bool:
    return away.lease_expires_at is not None and away.lease_expires_at > now


def _lease(
    transaction: Transaction, claim: Claim, claimed_ones: ColumnElement[bool]
) -> None:
    until = {"lease_expires_at": claim.lease_expires_at}
    transaction.execute(update(deliveries).where(claimed_ones).values(until))
    transaction.execute(
        update(absences)
        .where(absences.c.destination == claim.destination)
        .values(until)
    )
