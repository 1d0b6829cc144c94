"""The receiver's view: instances and associations come in."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any

from sqlalchemy import Select, select

from dicomnode.domain.association import Association, Refusal
from dicomnode.domain.instance import Disposition, ReceivedInstance
from dicomnode.ports import KeptInstance
from dicomnode.worklist.engine import Database, Event, Transaction
from dicomnode.worklist.groups import GroupCommit
from dicomnode.worklist.growing import clean
from dicomnode.worklist.recording import record_all
from dicomnode.worklist.schema import associations, instances

_SHOWN = 80
"""A refused instance may name itself anything; a UID has 64 characters at most."""

_MOST_NOTED = 1000
"""Associations that wait for something to be recorded with; the oldest are left out."""

_AT_ONCE = 1000
"""Instances asked for with one statement."""


class Intake:
    """Implements ``ports.Intake``; safe to share among threads."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._group = GroupCommit(self._record_all)
        self._noted: deque[Association] = deque(maxlen=_MOST_NOTED)

    def record(self, instance: ReceivedInstance) -> Disposition:
        """Commit one instance, together with those of other threads that wait."""
        return self._group.submit(instance)

    def record_association(self, association: Association) -> None:
        """Note an accepted or refused association."""
        with self._database.write() as transaction:
            transaction.insert(associations, [_association_row(association)])

    def note_association(self, association: Association) -> None:
        """The same together with what is recorded next; lost if that fails."""
        self._noted.append(association)

    def record_noted(self) -> None:
        """Record the associations that are noted and not recorded yet, if any."""
        if self._noted:
            with self._database.write() as transaction:
                self._write_noted(transaction)

    def record_refusal(self, refusal: Refusal) -> None:
        """Note a C-STORE that was not answered with Success, for the change feed."""
        about = clean(
            f"{refusal.sop_instance_uid[:_SHOWN]} of SOP Class "
            f"{refusal.sop_class_uid[:_SHOWN]} from {refusal.calling_ae_title} at "
            f"{refusal.address}: status 0x{refusal.status:04X}, {refusal.reason}"
        )
        with self._database.write() as transaction:
            transaction.note(
                Event(at=refusal.at, kind="instance refuse", state=None, detail=about)
            )

    def kept(self, sop_instance_uids: Collection[str]) -> Mapping[str, KeptInstance]:
        """Those of the instances that are recorded, and not forgotten since."""
        found: dict[str, KeptInstance] = {}
        with self._database.read() as connection:
            for uids in _groups(sorted(sop_instance_uids)):
                for row in connection.execute(_kept(uids)):
                    found[row.sop_instance_uid] = KeptInstance(
                        row.sop_class_uid, row.location
                    )
        return found

    def _record_all(self, received: Sequence[ReceivedInstance]) -> list[Disposition]:
        with self._database.write() as transaction:
            self._write_noted(transaction)
            return record_all(transaction, received)

    def _write_noted(self, transaction: Transaction) -> None:
        rows = []
        with suppress(IndexError):
            while True:
                rows.append(_association_row(self._noted.popleft()))
        if rows:
            transaction.insert(associations, rows)


def _association_row(association: Association) -> dict[str, Any]:
    return {
        "at": association.at,
        "calling_ae_title": clean(association.calling_ae_title),
        "called_ae_title": clean(association.called_ae_title),
        "address": clean(association.address),
        "accepted": int(association.accepted),
        "reason": association.reason,
        "remedy": association.remedy,
    }


def _groups(uids: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(uids), _AT_ONCE):
        yield uids[start : start + _AT_ONCE]


def _kept(sop_instance_uids: Sequence[str]) -> Select[Any]:
    return (
        select(
            instances.c.sop_instance_uid,
            instances.c.sop_class_uid,
            instances.c.location,
        )
        .where(instances.c.sop_instance_uid.in_(sop_instance_uids))
        .where(instances.c.ordinal == 0, instances.c.forgotten_at.is_(None))
    )
