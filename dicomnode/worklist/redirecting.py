"""Deliveries of a destination that was renamed or removed go to another one."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Row, func, select

from dicomnode.domain.delivery import DELIVERY_STATES, DeliveryState
from dicomnode.domain.desk import Redirect, said
from dicomnode.worklist.claiming import is_free
from dicomnode.worklist.engine import Database, Transaction
from dicomnode.worklist.moves import may
from dicomnode.worklist.outbox import UNSENT, move_deliveries
from dicomnode.worklist.schema import deliveries

_AT_ONCE = 200
_REFUSED = (DeliveryState.FAILED.value, DeliveryState.REJECTED.value)


class Redirects:
    """Implements ``ports.Redirects``."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def count(self, redirect: Redirect, now: datetime) -> Mapping[str, int]:
        """How many deliveries would be moved, by the destination they go to now."""
        wanted = (
            select(deliveries.c.destination, func.count())
            .where(_wanted(redirect, now))
            .group_by(deliveries.c.destination)
            .order_by(deliveries.c.destination)
        )
        with self._database.read() as connection:
            return {row[0]: row[1] for row in connection.execute(wanted)}

    def move(self, redirect: Redirect, now: datetime, by: str = "") -> int:
        """FAILED, REJECTED or stranded -> PENDING for another destination; how many.

        What that destination has, or will get, already is not sent twice: CANCELED.
        """
        moved = 0
        while done := self._some(redirect, now, by):
            moved += done
        return moved

    def _some(self, redirect: Redirect, now: datetime, by: str) -> int:
        wanted = (
            select(deliveries.c.delivery_id, deliveries.c.result_id)
            .where(_wanted(redirect, now))
            .order_by(deliveries.c.delivery_id)
            .limit(_AT_ONCE)
            .with_for_update()
        )
        with self._database.write() as transaction:
            go: dict[int, int] = {}
            stay: list[int] = []
            for row in transaction.rows(wanted):
                if row.result_id in go or _there(transaction, row, redirect.to):
                    stay.append(row.delivery_id)
                else:
                    go[row.result_id] = row.delivery_id
            _cancel(transaction, stay, redirect, now, by)
            _send(transaction, list(go.values()), redirect, now, by)
            return len(go) + len(stay)


def _wanted(redirect: Redirect, now: datetime) -> ColumnElement[bool]:
    destination, state = deliveries.c.destination, deliveries.c.state
    if redirect.source:
        which = destination == redirect.source
    else:
        which = (destination == redirect.to) & state.in_(_REFUSED)
        which |= destination.not_in((redirect.to, *redirect.known))
    if redirect.job_ids:
        which &= deliveries.c.job_id.in_(redirect.job_ids)
    # What is being sent this moment ends first.
    return which & may(DELIVERY_STATES, state, "redirect") & is_free(now)


def _there(transaction: Transaction, row: Row[Any], destination: str) -> bool:
    """Whether another delivery of this result is for the destination."""
    other = select(deliveries.c.delivery_id).where(
        deliveries.c.result_id == row.result_id,
        deliveries.c.destination == destination,
        deliveries.c.delivery_id != row.delivery_id,
    )
    return bool(transaction.rows(other))


def _cancel(
    transaction: Transaction, ids: list[int], redirect: Redirect, now: datetime, by: str
) -> None:
    error = f"not sent, {redirect.to} has this result by another delivery"
    values: dict[str, object] = {"error": error, "lease_expires_at": None}
    which = deliveries.c.delivery_id.in_(ids)
    move_deliveries(transaction, which, "supersede", now, values, said(by))


def _send(
    transaction: Transaction, ids: list[int], redirect: Redirect, now: datetime, by: str
) -> None:
    values: dict[str, object] = {
        **UNSENT,
        "next_attempt_at": now,
        "checks": 0,
        "destination": redirect.to,
    }
    remark = f"to {redirect.to} {said(by)}".rstrip()
    which = deliveries.c.delivery_id.in_(ids)
    move_deliveries(transaction, which, "redirect", now, values, remark)
