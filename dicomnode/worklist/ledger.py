"""The view of reconcile: every row, page by page, as facts.

Pages are ordered by a key and begin after the last one, so each costs the same and a
reader holds no transaction open for long.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Row,
    Select,
    case,
    delete,
    exists,
    func,
    insert,
    or_,
    select,
    text,
    tuple_,
)

from dicomnode.domain.delivery import DeliveryState
from dicomnode.domain.job import JobState, Outcome
from dicomnode.domain.reconciliation import (
    Discrepancy,
    FileFacts,
    JobFacts,
    Kind,
    Standing,
    StudyFacts,
    Sums,
    standing_of_result,
)
from dicomnode.domain.study import StudyState
from dicomnode.errors import WorklistError
from dicomnode.worklist import state_counts
from dicomnode.worklist.engine import Database, Event
from dicomnode.worklist.node_tables import reconciliations
from dicomnode.worklist.schema import (
    deliveries,
    instances,
    jobs,
    results,
    revisions,
    studies,
)
from dicomnode.worklist.translation import RESTORE

_KEPT_OUTCOMES = 400
_STATES = (DeliveryState.FAILED, DeliveryState.PENDING, DeliveryState.SENT)
_ALIKE = {
    DeliveryState.FAILED: ("FAILED", "REJECTED"),
    DeliveryState.PENDING: ("PENDING",),
    DeliveryState.SENT: ("SENT", "COMMITTED"),
}
"""Delivery states that say the same of where a result stands."""

_OPEN = (JobState.SCHEDULED.value, JobState.IN_PROGRESS.value)


class Ledger:
    """Implements ``ports.Ledger``."""

    def __init__(self, database: Database, host: str = "") -> None:
        self._database = database
        self._here = instances.c.spooled_on.in_(("", host))

    def check(self) -> None:
        """Look for damage in all of the database; raises WorklistError."""
        if not self._database.is_sqlite:
            return
        with self._database.read() as connection:
            report = connection.execute(text("PRAGMA quick_check(1)")).scalar()
        if report != "ok":
            message = f"the worklist database is damaged: {report}; {RESTORE}"
            raise WorklistError(message)

    def studies(self, after: str, limit: int) -> Sequence[StudyFacts]:
        """Studies in the order of their UIDs, those after ``after``."""
        with self._database.read() as connection:
            page = connection.execute(_studies_after(after, limit)).all()
            uids = [row.study_instance_uid for row in page]
            of_study = _jobs(connection, uids)
            counted = _instance_counts(connection, uids)
        return [
            StudyFacts(
                study_instance_uid=row.study_instance_uid,
                state=StudyState(row.state),
                reason=row.reason,
                n_counted=row.n_instances,
                n_rows=counted[row.study_instance_uid],
                jobs=of_study[row.study_instance_uid],
            )
            for row in page
        ]

    def conflicts(self) -> int:
        """Instances kept beside another one of the same UID."""
        beside = select(func.count()).where(instances.c.ordinal > 0)
        with self._database.read() as connection:
            return int(connection.execute(beside).scalar() or 0)

    def strays(self, limit: int) -> Sequence[Discrepancy]:
        """Rows that name a row which is not there."""
        with self._database.read() as connection:
            lost = connection.execute(_without_study(limit)).scalars().all()
            left = connection.execute(_without_revision(limit)).scalars().all()
        return [
            *(Discrepancy(Kind.NO_STUDY, uid) for uid in lost),
            *(Discrepancy(Kind.STUDY_LOST, job_id) for job_id in left),
        ]

    def wrong_counts(self) -> Sequence[Discrepancy]:
        """Counts by state (``v1_counts``) that the rows do not bear out."""
        with self._database.read() as connection:
            found = state_counts.wrong(connection)
        return [
            Discrepancy(Kind.WRONG_COUNT, " ".join(key), f"{n:+d} would be right")
            for key, n in found.items()
        ]

    def results(self) -> dict[Standing, int]:
        """How many results stand where."""
        sums: Counter[Standing] = Counter()
        with self._database.read() as connection:
            for *flags, count in connection.execute(_result_groups()):
                there = [one for one, flag in zip(_STATES, flags, strict=True) if flag]
                sums[standing_of_result(there)] += count
        return dict(sums)

    def instance_files(self, after: tuple[str, int], limit: int) -> Sequence[FileFacts]:
        """Rows of instances whose file should be there, or is known to be missing.

        Not those that lie in the spool of another host: nobody can look there.
        """
        key = tuple_(instances.c.sop_instance_uid, instances.c.ordinal)
        page = (
            _instance_rows(key > after)
            .where(self._here)
            .order_by(instances.c.sop_instance_uid, instances.c.ordinal)
            .limit(limit)
        )
        with self._database.read() as connection:
            return [_instance_of(row) for row in connection.execute(page)]

    def result_files(self, after: int, limit: int) -> Sequence[FileFacts]:
        """Rows of results whose file should be there, or is known to be missing."""
        page = _result_rows(results.c.result_id > after)
        page = page.order_by(results.c.result_id).limit(limit)
        with self._database.read() as connection:
            return [_result_of(row) for row in connection.execute(page)]

    def instance_file(self, location: str) -> FileFacts | None:
        """The row of an instance as it is now; None: it names no file any more."""
        with self._database.read() as connection:
            named = _instance_rows(instances.c.location == location).where(self._here)
            row = connection.execute(named).first()
        return None if row is None else _instance_of(row)

    def result_file(self, location: str) -> FileFacts | None:
        """The row of a result as it is now; None: it names no file any more."""
        with self._database.read() as connection:
            named = _result_rows(results.c.location == location)
            row = connection.execute(named).first()
        return None if row is None else _result_of(row)

    def named(self, locations: Collection[str], *, results: bool) -> frozenset[str]:
        """Those of ``locations`` that a row of instances, or of results, names."""
        wanted = sorted(locations)
        query = _results_at(wanted) if results else _instances_at(wanted)
        with self._database.read() as connection:
            return frozenset(connection.execute(query).scalars())

    def record(self, started: datetime, finished: datetime, sums: Sums) -> None:
        """Keep the outcome, and an event of it; the oldest outcomes go."""
        values = {
            "started_at": started,
            "finished_at": finished,
            "balanced": int(sums.balanced),
            "n_found": sums.n_found,
            "n_repaired": sums.n_repaired,
            "detail": json.dumps(sums.as_record(), sort_keys=True),
        }
        number = reconciliations.c.reconciliation_id
        newest = select(func.max(number)).scalar_subquery()
        detail = f"{sums.n_found} found, {sums.n_repaired} repaired"
        state = "balanced" if sums.balanced else "not balanced"
        with self._database.write() as transaction:
            transaction.execute(insert(reconciliations).values(values))
            old = number <= newest - _KEPT_OUTCOMES
            transaction.execute(delete(reconciliations).where(old))
            transaction.note(Event(finished, "node reconcile", state, detail=detail))


def _studies_after(after: str, limit: int) -> Select[Any]:
    return (
        select(
            studies.c.study_instance_uid,
            revisions.c.state,
            revisions.c.reason,
            revisions.c.n_instances,
        )
        .join(
            revisions,
            (revisions.c.study_instance_uid == studies.c.study_instance_uid)
            & (revisions.c.revision == studies.c.revision),
        )
        .where(studies.c.study_instance_uid > after)
        .order_by(studies.c.study_instance_uid)
        .limit(limit)
    )


def _jobs(
    connection: Connection, uids: Sequence[str]
) -> defaultdict[str, list[JobFacts]]:
    """The jobs of the current revisions, by study."""
    n_results = (
        select(func.count()).where(results.c.job_id == jobs.c.job_id).scalar_subquery()
    )
    current = (
        select(jobs, n_results.label("n_results"))
        .join(
            studies,
            (studies.c.study_instance_uid == jobs.c.study_instance_uid)
            & (studies.c.revision == jobs.c.revision),
        )
        .where(jobs.c.study_instance_uid.in_(uids))
    )
    found: defaultdict[str, list[JobFacts]] = defaultdict(list)
    for row in connection.execute(current):
        found[row.study_instance_uid].append(
            JobFacts(
                job_id=row.job_id,
                state=JobState(row.state),
                outcome=Outcome(row.outcome) if row.outcome else None,
                reason=row.reason,
                n_results=row.n_results,
                lease_expires_at=row.lease_expires_at,
            )
        )
    return found


def _instance_counts(connection: Connection, uids: Sequence[str]) -> Counter[str]:
    counted = (
        select(instances.c.study_instance_uid, func.count())
        .where(instances.c.study_instance_uid.in_(uids), instances.c.ordinal == 0)
        .group_by(instances.c.study_instance_uid)
    )
    return Counter({row[0]: row[1] for row in connection.execute(counted)})


def _without_study(limit: int) -> Select[Any]:
    study = exists().where(
        studies.c.study_instance_uid == instances.c.study_instance_uid
    )
    lost = select(instances.c.sop_instance_uid).where(instances.c.ordinal == 0, ~study)
    return lost.order_by(instances.c.sop_instance_uid).limit(limit)


def _without_revision(limit: int) -> Select[Any]:
    revision = exists().where(
        revisions.c.study_instance_uid == jobs.c.study_instance_uid,
        revisions.c.revision == jobs.c.revision,
    )
    return select(jobs.c.job_id).where(~revision).order_by(jobs.c.job_id).limit(limit)


def _result_groups() -> Select[Any]:
    """Results by which states their deliveries have, and how many of each sort."""
    flags = [
        func.max(case((deliveries.c.state.in_(_ALIKE[one]), 1), else_=0)).label(one)
        for one in _STATES
    ]
    each = (
        select(*flags)
        .select_from(results)
        .outerjoin(deliveries, deliveries.c.result_id == results.c.result_id)
        .group_by(results.c.result_id)
        .subquery()
    )
    return select(*each.c, func.count()).group_by(*each.c)


def _instance_rows(which: ColumnElement[bool]) -> Select[Any]:
    there = instances.c.forgotten_at.is_(None) | instances.c.missing_at.is_not(None)
    return select(instances).where(which, there)


def _result_rows(which: ColumnElement[bool]) -> Select[Any]:
    # A job that runs again makes its results again.
    ended = jobs.c.state.not_in(_OPEN)
    return (
        select(results)
        .join(jobs, jobs.c.job_id == results.c.job_id)
        .where(which, results.c.forgotten_at.is_(None), ended)
    )


def _instances_at(locations: Sequence[str]) -> Select[Any]:
    return select(instances.c.location).where(
        instances.c.location.in_(locations),
        or_(instances.c.forgotten_at.is_(None), instances.c.missing_at.is_not(None)),
    )


def _results_at(locations: Sequence[str]) -> Select[Any]:
    return select(results.c.location).where(results.c.location.in_(locations))


def _instance_of(row: Row[Any]) -> FileFacts:
    return FileFacts(
        location=row.location,
        sha256=row.sha256,
        n_bytes=row.n_bytes,
        since=row.received_at,
        sop_instance_uid=row.sop_instance_uid,
        ordinal=row.ordinal,
        marked=row.missing_at is not None and row.forgotten_at is not None,
    )


def _result_of(row: Row[Any]) -> FileFacts:
    return FileFacts(
        location=row.location,
        sha256=row.sha256,
        n_bytes=None,
        since=row.built_at,
        sop_instance_uid=row.sop_instance_uid,
        number=row.result_id,
        marked=row.missing_at is not None,
    )
