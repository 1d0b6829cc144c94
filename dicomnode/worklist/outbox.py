"""The view of delivery: results wait for their destinations here.

``due``, ``sent`` and ``postpone`` are the port; ``uncommitted``, ``committed`` and
``rejected`` serve storage commitment (PS3.4 J).
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Row, Select, Update, or_, select, update

from dicomnode.domain.delivery import DELIVERY_STATES, Delivery, DeliveryState
from dicomnode.errors import IllegalTransition, UnknownStudy
from dicomnode.worklist.engine import Database, Event, Transaction
from dicomnode.worklist.moves import may, state_after
from dicomnode.worklist.schema import deliveries, jobs, results

_ARRIVED = (DeliveryState.SENT.value, DeliveryState.COMMITTED.value)


class Outbox:
    """Implements ``ports.Outbox``."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def due(
        self, destination: str, now: datetime, lease_seconds: float, limit: int
    ) -> Sequence[Delivery]:
        """Claim PENDING deliveries whose time has come, the oldest first."""
        wanted = due_now(destination, now, limit)
        with self._database.read() as connection:
            if connection.execute(wanted).first() is None:
                return []
        lease = now + timedelta(seconds=lease_seconds)
        with self._database.write() as transaction:
            found = transaction.rows(wanted.with_for_update(skip_locked=True))
            ids = [row.delivery_id for row in found]
            transaction.execute(
                update(deliveries)
                .where(deliveries.c.delivery_id.in_(ids))
                .values(lease_expires_at=lease)
            )
            return _load(transaction, deliveries.c.delivery_id.in_(ids))

    def sent(self, delivery: Delivery, status: int, now: datetime) -> None:
        """PENDING -> SENT with the DIMSE status (0x0000 or a warning).

        A delivery that another process has sent meanwhile stays as it is. Raises
        UnknownStudy, IllegalTransition.
        """
        changed = _moved(delivery, "send").values(
            attempts=deliveries.c.attempts + 1, status=status, error="", sent_at=now
        )
        with self._database.write() as transaction:
            if transaction.execute(changed).rowcount == 1:
                detail = f"{_describe(delivery)} answered 0x{status:04X}"
                _note(transaction, delivery, "send", now, detail)
            else:
                _accept_arrived(transaction, delivery, "send")

    def postpone(
        self,
        delivery: Delivery,
        status: int | None,
        error: str,
        retry_at: datetime | None,
        now: datetime,
    ) -> None:
        """Count an attempt: PENDING until ``retry_at``, or FAILED if None.

        A delivery that another process has sent or postponed meanwhile stays as it is.
        Raises UnknownStudy, IllegalTransition.
        """
        event = "give up" if retry_at is None else "postpone"
        changed = _moved(delivery, event).where(
            deliveries.c.attempts == delivery.attempts
        )
        values: dict[str, object] = {"status": status, "error": error}
        if retry_at is not None:
            values["next_attempt_at"] = retry_at
        changed = changed.values(attempts=deliveries.c.attempts + 1, **values)
        with self._database.write() as transaction:
            if transaction.execute(changed).rowcount == 1:
                _note(transaction, delivery, event, now, _describe(delivery))
            else:
                _accept_arrived(transaction, delivery, event)

    def uncommitted(
        self, destination: str, sent_before: datetime, limit: int
    ) -> Sequence[Delivery]:
        """SENT deliveries that storage commitment may be asked for, oldest first."""
        ids = (
            select(deliveries.c.delivery_id)
            .where(deliveries.c.destination == destination)
            .where(deliveries.c.state == DeliveryState.SENT.value)
            .where(deliveries.c.sent_at < sent_before)
            .order_by(deliveries.c.delivery_id)
            .limit(limit)
        )
        with self._database.read() as connection:
            found = connection.execute(_whole(deliveries.c.delivery_id.in_(ids)))
            return [_delivery_of(row) for row in found]

    def committed(self, destination: str, sop_instance_uid: str, now: datetime) -> int:
        """SENT -> COMMITTED for what ``destination`` has promised to keep; how many."""
        return self._answer(
            "commit", destination, sop_instance_uid, now, {"committed_at": now}
        )

    def rejected(
        self, destination: str, sop_instance_uid: str, error: str, now: datetime
    ) -> int:
        """SENT -> REJECTED for what ``destination`` does not have; how many."""
        return self._answer(
            "reject", destination, sop_instance_uid, now, {"error": error}
        )

    def _answer(
        self,
        event: str,
        destination: str,
        sop_instance_uid: str,
        now: datetime,
        values: dict[str, object],
    ) -> int:
        named = select(results.c.result_id).where(
            results.c.sop_instance_uid == sop_instance_uid
        )
        which = (
            deliveries.c.result_id.in_(named)
            & (deliveries.c.destination == destination)
            & may(DELIVERY_STATES, deliveries.c.state, event)
        )
        with self._database.write() as transaction:
            return move_deliveries(transaction, which, event, now, values)


def due_now(destination: str, now: datetime, limit: int) -> Select[Any]:
    """The deliveries to send next."""
    free = or_(
        deliveries.c.lease_expires_at.is_(None), deliveries.c.lease_expires_at <= now
    )
    return (
        select(deliveries.c.delivery_id)
        .where(deliveries.c.destination == destination)
        .where(deliveries.c.state == DeliveryState.PENDING.value)
        .where(deliveries.c.next_attempt_at <= now, free)
        .order_by(deliveries.c.delivery_id)
        .limit(limit)
    )


def move_deliveries(
    transaction: Transaction,
    which: ColumnElement[bool],
    event: str,
    now: datetime,
    values: dict[str, object],
) -> int:
    """Move the deliveries that are in ``which``, with an event for each; how many."""
    found = _load(transaction, which)
    ids = [delivery.delivery_id for delivery in found]
    transaction.execute(
        update(deliveries)
        .where(deliveries.c.delivery_id.in_(ids))
        .values(state=state_after(DELIVERY_STATES, event), **values)
    )
    for delivery in found:
        _note(transaction, delivery, event, now, _describe(delivery))
    return len(ids)


def _whole(which: ColumnElement[bool]) -> Select[Any]:
    return (
        select(
            deliveries,
            results.c.kind,
            results.c.sop_class_uid,
            results.c.sop_instance_uid,
            results.c.location,
        )
        .join(results, results.c.result_id == deliveries.c.result_id)
        .where(which)
        .order_by(deliveries.c.delivery_id)
    )


def _load(transaction: Transaction, which: ColumnElement[bool]) -> list[Delivery]:
    locked = _whole(which).with_for_update(of=deliveries)
    return [_delivery_of(row) for row in transaction.rows(locked)]


def _delivery_of(row: Row[Any]) -> Delivery:
    return Delivery(
        delivery_id=row.delivery_id,
        job_id=row.job_id,
        destination=row.destination,
        result_kind=row.kind,
        sop_class_uid=row.sop_class_uid,
        sop_instance_uid=row.sop_instance_uid,
        location=row.location,
        attempts=row.attempts,
    )


def _moved(delivery: Delivery, event: str) -> Update:
    return (
        update(deliveries)
        .where(deliveries.c.delivery_id == delivery.delivery_id)
        .where(may(DELIVERY_STATES, deliveries.c.state, event))
        .values(state=state_after(DELIVERY_STATES, event), lease_expires_at=None)
    )


def _accept_arrived(transaction: Transaction, delivery: Delivery, event: str) -> None:
    """Nothing to do if someone else has dealt with it; otherwise say what is wrong."""
    found = transaction.rows(
        select(deliveries.c.state).where(
            deliveries.c.delivery_id == delivery.delivery_id
        )
    )
    if not found:
        raise UnknownStudy(
            f"no delivery {delivery.delivery_id}; list them with `dicomnode list`"
        )
    state = DeliveryState(found[0].state)
    if state.value not in _ARRIVED and state is not DeliveryState.PENDING:
        message = f"a delivery in state {state} cannot {event}; see `dicomnode show`"
        raise IllegalTransition(message)


def _describe(delivery: Delivery) -> str:
    return f"{delivery.result_kind} {delivery.sop_instance_uid} {delivery.destination}"


def _note(
    transaction: Transaction, delivery: Delivery, event: str, now: datetime, detail: str
) -> None:
    study = transaction.rows(
        select(jobs.c.study_instance_uid).where(jobs.c.job_id == delivery.job_id)
    )[0].study_instance_uid
    state = state_after(DELIVERY_STATES, event)
    kind = f"delivery {event}"
    transaction.note(Event(now, kind, state, study, delivery.job_id, detail))
