"""What recording instances does to the rows, within one transaction.

However many instances a transaction carries, it takes the same few statements. Rows are
touched in the order of their UIDs, so that two receivers that share studies wait for
each other instead of blocking each other.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import bindparam, select, update

from dicomnode.domain.instance import Disposition, ReceivedInstance
from dicomnode.worklist.engine import Event, Transaction
from dicomnode.worklist.growing import clean, extend_studies
from dicomnode.worklist.prepared import Prepared
from dicomnode.worklist.schema import instances, studies

_KNOWN = Prepared(
    select(
        instances.c.ordinal,
        instances.c.sha256,
        instances.c.forgotten_at,
        instances.c.spooled_on,
    ).where(instances.c.sop_instance_uid == bindparam("uid"))
)


def record_all(
    transaction: Transaction, received: Sequence[ReceivedInstance]
) -> list[Disposition]:
    """Record instances; one answer for each, in their order."""
    order = sorted(range(len(received)), key=lambda place: _uids(received[place]))
    inserted = _insert_new(transaction, [received[place] for place in order])
    dispositions = [Disposition.NEW] * len(received)
    fresh: list[ReceivedInstance] = []
    for place in order:
        one = received[place]
        if one.key.sop_instance_uid in inserted:
            inserted.remove(one.key.sop_instance_uid)
            fresh.append(one)
        else:
            dispositions[place] = _keep_beside(transaction, one)
    if fresh:
        extend_studies(transaction, fresh)
    return dispositions


def _uids(received: ReceivedInstance) -> tuple[str, str]:
    return received.key.study_instance_uid, received.key.sop_instance_uid


def _insert_new(
    transaction: Transaction, received: Iterable[ReceivedInstance]
) -> set[str]:
    """Insert what is not there yet; the SOP Instance UIDs that were inserted."""
    rows: dict[str, dict[str, Any]] = {}
    for one in received:
        rows.setdefault(one.key.sop_instance_uid, _instance_row(one, 0))
    return transaction.insert_all_missing(
        instances, list(rows.values()), instances.c.sop_instance_uid
    )


def _keep_beside(transaction: Transaction, received: ReceivedInstance) -> Disposition:
    """An instance whose SOP Instance UID is known: the same again, or a conflict."""
    uid = received.key.sop_instance_uid
    known = transaction.run(_KNOWN, [{"uid": uid}])
    same = next((row for row in known if row.sha256 == received.stored.sha256), None)
    if same is not None:
        if same.forgotten_at is not None:
            _remember_file(transaction, received, same.ordinal)
        elif same.spooled_on and not received.stored.spooled_on:
            _everywhere(transaction, received, same.ordinal)
        return Disposition.DUPLICATE
    if not transaction.insert_missing(instances, _instance_row(received, len(known))):
        # Another receiver has just flagged one of its own.
        return _keep_beside(transaction, received)
    transaction.note(_conflict(received))
    return Disposition.CONFLICT


def _instance_row(received: ReceivedInstance, ordinal: int) -> dict[str, Any]:
    key, stored = received.key, received.stored
    return {
        "sop_instance_uid": key.sop_instance_uid,
        "ordinal": ordinal,
        "study_instance_uid": key.study_instance_uid,
        "series_instance_uid": key.series_instance_uid,
        "sop_class_uid": key.sop_class_uid,
        "transfer_syntax_uid": key.transfer_syntax_uid,
        "location": stored.location,
        "n_bytes": stored.n_bytes,
        "sha256": stored.sha256,
        "received_at": received.received_at,
        "calling_ae_title": clean(received.calling_ae_title),
        "called_ae_title": clean(received.called_ae_title),
        "address": clean(received.address),
        "attributes": json.dumps(dict(received.attributes)),
        "spooled_on": stored.spooled_on,
    }


def _remember_file(
    transaction: Transaction, received: ReceivedInstance, ordinal: int
) -> None:
    """The same instance came again after retention had removed its file."""
    key, stored = received.key, received.stored
    transaction.execute(
        update(instances)
        .where(instances.c.sop_instance_uid == key.sop_instance_uid)
        .where(instances.c.ordinal == ordinal)
        .values(
            location=stored.location, forgotten_at=None, spooled_on=stored.spooled_on
        )
    )
    _keep_files(transaction, key.study_instance_uid)


def _everywhere(
    transaction: Transaction, received: ReceivedInstance, ordinal: int
) -> None:
    """It came again, to a host that has no spool: every host can read it."""
    transaction.execute(
        update(instances)
        .where(instances.c.sop_instance_uid == received.key.sop_instance_uid)
        .where(instances.c.ordinal == ordinal)
        .values(location=received.stored.location, spooled_on="")
    )


def _keep_files(transaction: Transaction, study_instance_uid: str) -> None:
    transaction.execute(
        update(studies)
        .where(studies.c.study_instance_uid == study_instance_uid)
        .where(studies.c.files_forgotten_at.is_not(None))
        .values(files_forgotten_at=None)
    )


def _conflict(received: ReceivedInstance) -> Event:
    return Event(
        at=received.received_at,
        kind="instance conflict",
        state=None,
        study_instance_uid=received.key.study_instance_uid,
        detail=f"other content under the SOP Instance UID "
        f"{received.key.sop_instance_uid}; kept as {received.stored.location}",
    )
