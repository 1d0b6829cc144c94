"""The view of delivery: results wait for their destinations here.

What becomes of them after they are sent is in ``commitments``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Row,
    Update,
    select,
    update,
)

from dicomnode.domain.commitment import Check
from dicomnode.domain.delivery import (
    CARRIERS,
    DELIVERY_STATES,
    NOT_SUPPORTED,
    Accepted,
    Delivery,
    DeliveryState,
    NewResult,
    profile_of,
)
from dicomnode.errors import IllegalTransition, UnknownStudy
from dicomnode.worklist.absences import Absences
from dicomnode.worklist.claiming import Claim, claimed, put_back
from dicomnode.worklist.engine import Event, Transaction
from dicomnode.worklist.moves import may, state_after
from dicomnode.worklist.schema import deliveries, results
from dicomnode.worklist.sending import ACCEPT, CLAIMED, DUE, JOB, RESULT_ID, whole

_ENDED = (
    DeliveryState.SENT.value,
    DeliveryState.COMMITTED.value,
    DeliveryState.CANCELED.value,
)
CHECKED: dict[str, object] = {
    "check_next": None,
    "check_at": None,
    "failure_reason": None,
    "lease_expires_at": None,
}
"""Nothing more is to be found out about a delivery."""

UNSENT: dict[str, object] = {
    **CHECKED,
    "attempts": 0,
    "committed_at": None,
    "profile_used": None,
    "transaction_uid": None,
    "verified_at": None,
}
"""What is forgotten of a delivery that goes out again."""


class Outbox(Absences):
    """Implements ``ports.Outbox``."""

    def due(
        self, destination: str, now: datetime, lease_seconds: float, limit: int
    ) -> Sequence[Delivery]:
        """Claim PENDING deliveries whose time has come, the oldest first."""
        claim = Claim(destination, now, lease_seconds, limit)
        return claimed(self._database, claim, DUE, _load_claimed)

    def put_back(self, untried: Sequence[Delivery]) -> None:
        """End the claim of deliveries that were not tried."""
        put_back(self._database, [delivery.delivery_id for delivery in untried])

    def sent(
        self,
        delivery: Delivery,
        status: int,
        now: datetime,
        check_at: datetime | None = None,
    ) -> None:
        """PENDING -> SENT with the DIMSE status (0x0000 or a warning).

        ``check_at``: when to ask for storage commitment; None: never. A delivery that
        another process has sent meanwhile stays as it is. Raises UnknownStudy,
        IllegalTransition.
        """
        self.accepted([Accepted(delivery, status, now, check_at)])

    def accepted(self, answers: Sequence[Accepted]) -> None:
        """`sent` for all of ``answers``, in one transaction; raises as it does.

        What stands before one that cannot be noted is noted all the same.
        """
        try:
            with self._database.write() as transaction:
                for one in answers:
                    _accept(transaction, one)
        except (IllegalTransition, UnknownStudy):
            if len(answers) == 1:
                raise
            for one in answers:
                self.accepted([one])

    def postpone(
        self,
        delivery: Delivery,
        status: int | None,
        error: str,
        retry_at: datetime | None,
        now: datetime,
    ) -> None:
        """Count an attempt: PENDING until ``retry_at``, or FAILED if None.

        A delivery that another process has sent, postponed or canceled meanwhile stays
        as it is. Raises UnknownStudy, IllegalTransition.
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

    def fall_back(self, delivery: Delivery, result: NewResult, now: datetime) -> None:
        """PENDING -> PENDING with another object, which is kept, in its place.

        -> CANCELED if that object goes there already, after an earlier attempt.
        """
        profile = profile_of(result.sop_class_uid)
        with self._database.write() as transaction:
            result_id = add_result(transaction, delivery.job_id, result, now)
            if _goes_out(transaction, result_id, delivery.destination):
                event, values = "replace", _carried(profile, result.sop_instance_uid)
            else:
                event = "fall back"
                values = {"result_id": result_id, "attempts": 0, "next_attempt_at": now}
            changed = _moved(delivery, event).values(values)
            if transaction.execute(changed).rowcount == 1:
                detail = f"{_describe(delivery)} falls back to {profile}"
                _note(transaction, delivery, event, now, detail)
            else:
                _accept_arrived(transaction, delivery, event)

    def replace(self, delivery: Delivery, error: str, now: datetime) -> bool:
        """PENDING -> CANCELED if another result of the job carries the report there.

        False, and nothing has changed, if none does.
        """
        with self._database.write() as transaction:
            carrier = _carrier(transaction, delivery)
            if carrier is None:
                return False
            profile, uid = profile_of(carrier.sop_class_uid), carrier.sop_instance_uid
            values = _carried(profile, uid, error)
            changed = _moved(delivery, "replace").values(values)
            if transaction.execute(changed).rowcount == 1:
                detail = f"{_describe(delivery)} carried by {profile} {uid}"
                _note(transaction, delivery, "replace", now, detail)
            else:
                _accept_arrived(transaction, delivery, "replace")
        return True

    def committed(self, destination: str, sop_instance_uid: str, now: datetime) -> int:
        """-> COMMITTED for what ``destination`` has promised to keep; how many."""
        which = _at(destination, sop_instance_uid, "commit")
        with self._database.write() as transaction:
            return move_deliveries(
                transaction, which, "commit", now, {**CHECKED, "committed_at": now}
            )

    def rejected(
        self, destination: str, sop_instance_uid: str, error: str, now: datetime
    ) -> int:
        """SENT -> REJECTED for what ``destination`` does not have; how many."""
        which = _at(destination, sop_instance_uid, "reject")
        with self._database.write() as transaction:
            return move_deliveries(
                transaction, which, "reject", now, {**CHECKED, "error": error}
            )


def move_deliveries(
    transaction: Transaction,
    which: ColumnElement[bool],
    event: str,
    now: datetime,
    values: dict[str, object],
    remark: str = "",
) -> int:
    """Move the deliveries that are in ``which``, with an event for each; how many.

    ``remark`` ends the detail of each event: who did it, or where to.
    """
    found = _load(transaction, which)
    if not found:
        return 0
    ids = [delivery.delivery_id for delivery in found]
    transaction.execute(
        update(deliveries)
        .where(deliveries.c.delivery_id.in_(ids))
        .values(state=state_after(DELIVERY_STATES, event), **values)
    )
    for delivery in found:
        _note(
            transaction,
            delivery,
            event,
            now,
            f"{_describe(delivery)} {remark}".rstrip(),
        )
    return len(ids)


def add_result(
    transaction: Transaction, job_id: str, result: NewResult, now: datetime
) -> int:
    """The row of a result of a job, made unless it is there; its number."""
    values = asdict(result) | {"job_id": job_id, "built_at": now}
    del values["destinations"]
    transaction.insert_missing(results, values)
    key = {"job": job_id, "uid": result.sop_instance_uid}
    return int(transaction.run(RESULT_ID, [key])[0].result_id)


def _goes_out(transaction: Transaction, result_id: int, destination: str) -> bool:
    """Whether this very object is on its way to the destination, or there."""
    there = (deliveries.c.result_id == result_id) & (
        deliveries.c.destination == destination
    )
    return bool(transaction.rows(select(deliveries.c.delivery_id).where(there)))


def _carried(profile: str, uid: str, error: str = "") -> dict[str, object]:
    """The values of a delivery whose report goes out as another object."""
    words = f"{profile} {uid} carries the report"
    return {
        "attempts": deliveries.c.attempts + 1,
        "status": NOT_SUPPORTED,
        "error": f"{error}; {words}" if error else words,
        "profile_used": profile,
    }


def _carrier(transaction: Transaction, delivery: Delivery) -> Row[Any] | None:
    """The best other result of the job that this destination has or will get."""
    kinds = CARRIERS.get(delivery.result_kind, ())
    lost = (DeliveryState.FAILED.value, DeliveryState.REJECTED.value)
    found = transaction.rows(
        select(results.c.kind, results.c.sop_class_uid, results.c.sop_instance_uid)
        .join(deliveries, deliveries.c.result_id == results.c.result_id)
        .where(deliveries.c.job_id == delivery.job_id, results.c.kind.in_(kinds))
        .where(deliveries.c.destination == delivery.destination)
        .where(deliveries.c.state.not_in((*lost, DeliveryState.CANCELED.value)))
        .order_by(deliveries.c.delivery_id)
    )
    return min(found, key=lambda row: kinds.index(row.kind), default=None)


def _at(destination: str, sop_instance_uid: str, event: str) -> ColumnElement[bool]:
    named = select(results.c.result_id).where(
        results.c.sop_instance_uid == sop_instance_uid
    )
    return (
        deliveries.c.result_id.in_(named)
        & (deliveries.c.destination == destination)
        & may(DELIVERY_STATES, deliveries.c.state, event)
    )


def _load(transaction: Transaction, which: ColumnElement[bool]) -> list[Delivery]:
    locked = whole(which).with_for_update(of=deliveries)
    return [_delivery_of(row) for row in transaction.rows(locked)]


def _load_claimed(transaction: Transaction, ids: Sequence[int]) -> list[Delivery]:
    """Those that this transaction has claimed."""
    if not transaction.is_sqlite:
        return _load(transaction, deliveries.c.delivery_id.in_(ids))
    found = transaction.run(CLAIMED, [{"number": one} for one in ids])
    return [_delivery_of(row) for row in found]


def _delivery_of(row: Any) -> Delivery:
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


def _accept(transaction: Transaction, one: Accepted) -> None:
    values = {
        "number": one.delivery.delivery_id,
        "answer": one.status,
        "at": one.sent_at,
        "profile": profile_of(one.delivery.sop_class_uid),
        "then": None if one.check_at is None else Check.ASK.value,
        "then_at": one.check_at,
    }
    if transaction.run(ACCEPT, [values]):
        detail = f"{_describe(one.delivery)} answered 0x{one.status:04X}"
        _note(transaction, one.delivery, "send", one.sent_at, detail)
    else:
        _accept_arrived(transaction, one.delivery, "send")


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
    if state.value not in _ENDED and state is not DeliveryState.PENDING:
        message = f"a delivery in state {state} cannot {event}; see `dicomnode show`"
        raise IllegalTransition(message)


def _describe(delivery: Delivery) -> str:
    return f"{delivery.result_kind} {delivery.sop_instance_uid} {delivery.destination}"


def _note(
    transaction: Transaction, delivery: Delivery, event: str, now: datetime, detail: str
) -> None:
    [job] = transaction.run(JOB, [{"job": delivery.job_id}])
    study = job.study_instance_uid
    state = state_after(DELIVERY_STATES, event)
    kind = f"delivery {event}"
    transaction.note(Event(now, kind, state, study, delivery.job_id, detail))
