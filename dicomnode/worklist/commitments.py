"""What becomes of results after they are sent: promised, shown, lost (PS3.4 J)."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Row, Select, insert, select, tuple_, update

from dicomnode.domain.commitment import (
    Asked,
    Check,
    CommitmentAnswer,
    Failed,
    Reference,
    Unconfirmed,
)
from dicomnode.domain.delivery import DELIVERY_STATES, DeliveryState
from dicomnode.worklist.claiming import (
    NOW,
    TO,
    Claim,
    Claimable,
    claimed,
    is_free,
    put_back,
)
from dicomnode.worklist.engine import Database, Event, Transaction
from dicomnode.worklist.moves import may
from dicomnode.worklist.outbox import CHECKED, UNSENT, move_deliveries
from dicomnode.worklist.schema import commitments, deliveries, jobs, results

_UNCONFIRMED = Claimable(
    select(deliveries.c.delivery_id)
    .where(deliveries.c.destination == TO)
    .where(deliveries.c.check_at <= NOW, is_free(NOW))
    .where(deliveries.c.state == DeliveryState.SENT.value)
    .order_by(deliveries.c.check_at, deliveries.c.delivery_id)
)
"""The deliveries to check next, the longest waiting first."""


class Commitments:
    """Implements ``ports.Commitments``."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def unconfirmed(
        self, destination: str, now: datetime, lease_seconds: float, limit: int
    ) -> Sequence[Unconfirmed]:
        """Claim SENT deliveries whose check is due, the longest waiting first."""
        claim = Claim(destination, now, lease_seconds, limit)
        return claimed(self._database, claim, _UNCONFIRMED, _load)

    def put_back(self, unasked: Sequence[Unconfirmed]) -> None:
        """End the claim of deliveries about which nothing could be found out."""
        put_back(self._database, [one.delivery_id for one in unasked])

    def asked(self, asked: Asked, about: Sequence[Unconfirmed]) -> None:
        """Note a transaction before it is sent: its answer may overtake us."""
        values = {
            "transaction_uid": asked.transaction_uid,
            "destination": asked.destination,
            "requested_at": asked.requested_at,
        }
        waiting = {
            "transaction_uid": asked.transaction_uid,
            "check_next": Check.WAIT.value,
            "check_at": asked.overdue_at,
            "lease_expires_at": None,
        }
        with self._database.write() as transaction:
            transaction.execute(insert(commitments).values(values))
            transaction.execute(_sent_among(about).values(waiting))

    def answer(self, answer: CommitmentAnswer, now: datetime) -> bool:
        """Note what a destination answers; False for a transaction we do not know.

        The same answer again changes nothing, and a promise counts however late it
        comes. A failure counts only while its transaction is the latest.
        """
        with self._database.write() as transaction:
            destination = _destination_of(transaction, answer.transaction_uid, now)
            if destination is None:
                return False
            _commit(transaction, destination, answer.committed, now)
            for failed in answer.failed:
                _note_failure(transaction, answer.transaction_uid, failed, now)
        return True

    def verified(
        self, one: Unconfirmed, then: Check | None, check_at: datetime, now: datetime
    ) -> None:
        """The destination shows it by C-FIND; ``then`` is checked at ``check_at``."""
        values: dict[str, object] = {**_next(then, check_at), "verified_at": now}
        self._note_check(one, values, "found by C-FIND", now)

    def recheck(
        self, one: Unconfirmed, then: Check | None, error: str, at: datetime
    ) -> None:
        """Nothing was found out, and that is no failure: ``then`` at ``at``."""
        self._change(one, {**_next(then, at), "error": error})

    def unanswered(
        self, one: Unconfirmed, error: str, check_at: datetime, now: datetime
    ) -> None:
        """Count a check in vain: ask again at ``check_at``."""
        values = {**_next(Check.ASK, check_at), "error": error}
        values["checks"] = deliveries.c.checks + 1
        self._note_check(one, values, error, now)

    def lost(
        self, one: Unconfirmed, error: str, retry_at: datetime | None, now: datetime
    ) -> None:
        """SENT -> PENDING until ``retry_at``, to be sent again; None: REJECTED."""
        event, values = "reject", dict(CHECKED)
        if retry_at is not None:
            event, values = "lose", {**UNSENT, "next_attempt_at": retry_at}
        values |= {"error": error, "checks": deliveries.c.checks + 1}
        which = (deliveries.c.delivery_id == one.delivery_id) & may(
            DELIVERY_STATES, deliveries.c.state, event
        )
        with self._database.write() as transaction:
            move_deliveries(transaction, which, event, now, values)

    def _change(self, one: Unconfirmed, values: dict[str, object]) -> bool:
        changed = _sent_among([one]).values({**values, "lease_expires_at": None})
        with self._database.write() as transaction:
            return transaction.execute(changed).rowcount == 1

    def _note_check(
        self, one: Unconfirmed, values: dict[str, object], found: str, now: datetime
    ) -> None:
        changed = _sent_among([one]).values({**values, "lease_expires_at": None})
        detail = f"{one.result_kind} {one.sop_instance_uid} {one.destination}: {found}"
        event = Event(
            at=now,
            kind="delivery check",
            state=DeliveryState.SENT.value,
            study_instance_uid=one.study_instance_uid,
            job_id=one.job_id,
            detail=detail,
        )
        with self._database.write() as transaction:
            if transaction.execute(changed).rowcount == 1:
                transaction.note(event)


def _next(then: Check | None, check_at: datetime) -> dict[str, object]:
    if then is None:
        return dict(CHECKED)
    return {"check_next": then.value, "check_at": check_at}


def _whole(which: ColumnElement[bool]) -> Select[Any]:
    return (
        select(
            deliveries,
            jobs.c.study_instance_uid,
            results.c.kind,
            results.c.series_instance_uid,
            results.c.sop_class_uid,
            results.c.sop_instance_uid,
        )
        .join(results, results.c.result_id == deliveries.c.result_id)
        .join(jobs, jobs.c.job_id == deliveries.c.job_id)
        .where(which)
        .order_by(deliveries.c.delivery_id)
    )


def _load(transaction: Transaction, ids: Sequence[int]) -> list[Unconfirmed]:
    claimed_ones = _whole(deliveries.c.delivery_id.in_(ids))
    return [_unconfirmed_of(row) for row in transaction.rows(claimed_ones)]


def _unconfirmed_of(row: Row[Any]) -> Unconfirmed:
    return Unconfirmed(
        delivery_id=row.delivery_id,
        job_id=row.job_id,
        destination=row.destination,
        result_kind=row.kind,
        study_instance_uid=row.study_instance_uid,
        series_instance_uid=row.series_instance_uid,
        sop_class_uid=row.sop_class_uid,
        sop_instance_uid=row.sop_instance_uid,
        check=Check(row.check_next),
        checks=row.checks,
        failure_reason=row.failure_reason,
    )


def _sent_among(about: Sequence[Unconfirmed]) -> Any:
    return (
        update(deliveries)
        .where(deliveries.c.delivery_id.in_([one.delivery_id for one in about]))
        .where(deliveries.c.state == DeliveryState.SENT.value)
    )


def _destination_of(
    transaction: Transaction, transaction_uid: str, now: datetime
) -> str | None:
    """Whom the transaction was asked from; notes that it was answered."""
    found = transaction.rows(
        update(commitments)
        .where(commitments.c.transaction_uid == transaction_uid)
        .values(answered_at=now)
        .returning(commitments.c.destination)
    )
    return found[0].destination if found else None


def _commit(
    transaction: Transaction,
    destination: str,
    references: Sequence[Reference],
    now: datetime,
) -> None:
    which = (
        deliveries.c.result_id.in_(_results_of(references))
        & (deliveries.c.destination == destination)
        & may(DELIVERY_STATES, deliveries.c.state, "commit")
    )
    values = {**CHECKED, "committed_at": now, "error": ""}
    move_deliveries(transaction, which, "commit", now, values)


def _note_failure(
    transaction: Transaction, transaction_uid: str, failed: Failed, now: datetime
) -> None:
    # Whether it is sent again is decided where the results are (delivery), at once.
    transaction.execute(
        update(deliveries)
        .where(deliveries.c.result_id.in_(_results_of([failed.instance])))
        .where(deliveries.c.transaction_uid == transaction_uid)
        .where(deliveries.c.state == DeliveryState.SENT.value)
        .values(failure_reason=failed.reason, check_at=now, lease_expires_at=None)
    )


def _results_of(references: Sequence[Reference]) -> Select[Any]:
    named = [(one.sop_class_uid, one.sop_instance_uid) for one in references]
    return select(results.c.result_id).where(
        tuple_(results.c.sop_class_uid, results.c.sop_instance_uid).in_(named)
    )
