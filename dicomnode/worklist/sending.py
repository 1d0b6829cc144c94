"""The statements that run for every result on its way out, built once."""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    ColumnElement,
    Integer,
    Select,
    Text,
    bindparam,
    null,
    select,
    update,
)

from dicomnode.domain.delivery import DELIVERY_STATES, DeliveryState
from dicomnode.worklist.claiming import NOW, TO, Claimable, is_free
from dicomnode.worklist.moves import state_after
from dicomnode.worklist.prepared import Prepared, one_of
from dicomnode.worklist.schema import Instant, deliveries, jobs, results

_SENDABLE = [state.value for state in DELIVERY_STATES.sources("send")]


def whole(which: ColumnElement[bool]) -> Select[Any]:
    """Deliveries with what there is to know of their results."""
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


DUE = Claimable(
    select(deliveries.c.delivery_id)
    .where(deliveries.c.destination == TO)
    .where(deliveries.c.state == DeliveryState.PENDING.value)
    .where(deliveries.c.next_attempt_at <= NOW, is_free(NOW))
    .order_by(deliveries.c.delivery_id)
)
"""The deliveries to send next, the oldest first."""

RESULT_ID = Prepared(
    select(results.c.result_id)
    .where(results.c.job_id == bindparam("job"))
    .where(results.c.sop_instance_uid == bindparam("uid"))
)
"""Parameters: job, uid."""

JOB = Prepared(
    select(jobs.c.study_instance_uid).where(jobs.c.job_id == bindparam("job"))
)
"""The study of a job."""

CLAIMED = Prepared(whole(deliveries.c.delivery_id == bindparam("number")))
"""The delivery of a number."""


ACCEPT = Prepared(
    update(deliveries)
    .where(deliveries.c.delivery_id == bindparam("number"))
    .where(one_of(deliveries.c.state, _SENDABLE))
    .values(
        state=state_after(DELIVERY_STATES, "send"),
        attempts=deliveries.c.attempts + 1,
        lease_expires_at=null(),
        error="",
        status=bindparam("answer", type_=Integer()),
        sent_at=bindparam("at", type_=Instant()),
        profile_used=bindparam("profile"),
        check_next=bindparam("then", type_=Text()),
        check_at=bindparam("then_at", type_=Instant()),
    )
    .returning(deliveries.c.delivery_id)
)
"""PENDING -> SENT; finds the number of what it has changed."""
