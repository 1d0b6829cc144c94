"""New instances reach their studies: counts, revisions, the jobs they overtake."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from typing import Any

from sqlalchemy import BindParameter, bindparam, func, select, update

from dicomnode.domain.instance import Attributes, ReceivedInstance
from dicomnode.domain.job import JOB_STATES
from dicomnode.domain.ownership import is_own_result
from dicomnode.domain.study import STUDY_STATES, StudyState
from dicomnode.worklist.engine import Event, Transaction
from dicomnode.worklist.moves import job_event, may, state_after
from dicomnode.worklist.prepared import Prepared
from dicomnode.worklist.rows import current_revisions
from dicomnode.worklist.schema import identities, jobs, revisions, series, studies

_RECEIVING = state_after(STUDY_STATES, "receive")

# Built once: building a statement takes longer than running it.
_UIDS: BindParameter[str] = bindparam("uids", expanding=True)
_LOCK = (
    select(studies.c.study_instance_uid, studies.c.revision)
    .where(studies.c.study_instance_uid.in_(_UIDS))
    .order_by(studies.c.study_instance_uid)
    .with_for_update()
)
_CURRENT = current_revisions.where(revisions.c.study_instance_uid.in_(_UIDS))
_CURRENT_OF = Prepared(
    current_revisions.where(revisions.c.study_instance_uid == bindparam("uid"))
)
_REVISION_LOCKED = Prepared(
    select(studies.c.revision)
    .where(studies.c.study_instance_uid == bindparam("uid"))
    .with_for_update()
)
_N_SERIES = (
    select(func.count())
    .where(series.c.study_instance_uid == revisions.c.study_instance_uid)
    .scalar_subquery()
)
_COUNT_IN = Prepared(
    update(revisions)
    .where(revisions.c.study_instance_uid == bindparam("uid"))
    .where(revisions.c.revision == bindparam("current"))
    .values(
        n_series=_N_SERIES,
        n_instances=revisions.c.n_instances + bindparam("n_new"),
        last_instance_at=bindparam("last"),
        accession_number=bindparam("accession"),
        modality=bindparam("modalities"),
    )
)


def extend_studies(transaction: Transaction, fresh: Sequence[ReceivedInstance]) -> None:
    """Count in ``fresh`` instances, sorted by study, in new revisions where due."""
    by_study = {
        uid: sorted(group, key=lambda received: received.received_at)
        for uid, group in groupby(fresh, lambda one: one.key.study_instance_uid)
    }
    uids = list(by_study)
    known = _known(transaction, uids)
    for uid in uids:
        if uid not in known:
            _first_revision(transaction, uid, by_study[uid][0])
    news = {uid: _news(group, uid in known) for uid, group in by_study.items()}
    current = _still_current(transaction, [uid for uid in uids if news[uid]], known)
    counted = [
        _counted(transaction, row, news[row.study_instance_uid]) for row in current
    ]
    if counted:
        _insert_series(transaction, [one for uid in uids for one in news[uid]])
        transaction.run(_COUNT_IN, counted)


def _known(transaction: Transaction, uids: Sequence[str]) -> Mapping[str, Any]:
    """Those of the studies that are there, locked where writers do not take turns."""
    found = (
        _current(transaction, uids)
        if transaction.is_sqlite
        else transaction.rows(_LOCK, {"uids": uids})
    )
    return {row.study_instance_uid: row for row in found}


def _still_current(
    transaction: Transaction, uids: Sequence[str], known: Mapping[str, Any]
) -> Sequence[Any]:
    """The current revisions, of which SQLite's only writer knows most already."""
    if not transaction.is_sqlite:
        return _current(transaction, uids)
    made = _current(transaction, [uid for uid in uids if uid not in known])
    rows = {row.study_instance_uid: row for row in (*known.values(), *made)}
    return [rows[uid] for uid in uids if uid in rows]


def _current(transaction: Transaction, uids: Sequence[str]) -> Sequence[Any]:
    """The current revisions of the studies."""
    if transaction.is_sqlite:
        return transaction.run(_CURRENT_OF, [{"uid": uid} for uid in uids])
    return transaction.rows(_CURRENT, {"uids": uids})


def _news(
    group: Sequence[ReceivedInstance], is_known: bool
) -> Sequence[ReceivedInstance]:
    """What changes a study: not our own results that a PACS sends back (loop guard).

    A study that begins with them still needs its first revision.
    """
    foreign = [one for one in group if not is_own_result(one.attributes)]
    return foreign if foreign or is_known else group


def clean(text: str) -> str:
    """Text that every database can hold: no NUL, no lone surrogates."""
    if text.isascii() and "\0" not in text:
        return text
    return text.replace("\0", "").encode(errors="replace").decode()


def _counted(
    transaction: Transaction, row: Any, fresh: Sequence[ReceivedInstance]
) -> dict[str, Any]:
    """The values of ``_COUNT_IN`` for one study, in a new revision where one is due."""
    is_open = row.state == StudyState.RECEIVING.value
    if not is_open:
        _next_revision(transaction, row, fresh[0])
    return {
        "uid": row.study_instance_uid,
        "current": row.revision if is_open else row.revision + 1,
        "n_new": len(fresh),
        "last": fresh[-1].received_at,
        "accession": row.accession_number or _first("AccessionNumber", fresh),
        "modalities": _modalities(row.modality, fresh),
    }


def _insert_series(transaction: Transaction, fresh: Iterable[ReceivedInstance]) -> None:
    seen = {(one.key.study_instance_uid, one.key.series_instance_uid) for one in fresh}
    names = ("study_instance_uid", "series_instance_uid")
    rows = [dict(zip(names, one, strict=True)) for one in sorted(seen)]
    transaction.insert_all(series, rows)


def current_revision(transaction: Transaction, study_instance_uid: str) -> int | None:
    """The current revision of a study, whose row stays locked; None: no such study."""
    found = transaction.run(_REVISION_LOCKED, [{"uid": study_instance_uid}])
    return found[0].revision if found else None


def _first_revision(
    transaction: Transaction, study_instance_uid: str, first: ReceivedInstance
) -> None:
    values = {"study_instance_uid": study_instance_uid, "revision": 1}
    if transaction.insert_missing(studies, values):
        _open_revision(transaction, values, first)
        transaction.insert(identities, [_identity_row(first)])
    else:
        # Another receiver has made the study since we looked.
        current_revision(transaction, study_instance_uid)


def _next_revision(
    transaction: Transaction, before: Any, first: ReceivedInstance
) -> None:
    study_instance_uid, revision = before.study_instance_uid, before.revision + 1
    kept = ("n_series", "n_instances", "accession_number", "modality")
    values = {name: getattr(before, name) for name in kept}
    values |= {"study_instance_uid": study_instance_uid, "revision": revision}
    _open_revision(transaction, values, first)
    transaction.execute(
        update(studies)
        .where(studies.c.study_instance_uid == study_instance_uid)
        .values(revision=revision, files_forgotten_at=None)
    )
    _leave_overtaken(transaction, study_instance_uid, revision, first)
    _cancel_older(transaction, study_instance_uid, revision, first)


def _open_revision(
    transaction: Transaction, values: dict[str, Any], first: ReceivedInstance
) -> None:
    received = {
        "state": _RECEIVING,
        "received_at": first.received_at,
        "last_instance_at": first.received_at,
        "calling_ae_title": clean(first.calling_ae_title),
        "forced": False,
    }
    transaction.insert(revisions, [values | received])
    transaction.note(
        Event(
            at=first.received_at,
            kind="study receive",
            state=_RECEIVING,
            study_instance_uid=values["study_instance_uid"],
            detail=f"revision {values['revision']}",
        )
    )


def _leave_overtaken(
    transaction: Transaction,
    study_instance_uid: str,
    revision: int,
    first: ReceivedInstance,
) -> None:
    """End a complete revision that the router has not seen: it never will."""
    reason = f"overtaken by revision {revision}, which holds its instances too"
    state, at = state_after(STUDY_STATES, "overtake"), first.received_at
    left = transaction.execute(
        update(revisions)
        .where(revisions.c.study_instance_uid == study_instance_uid)
        .where(revisions.c.revision == revision - 1)
        .where(may(STUDY_STATES, revisions.c.state, "overtake"))
        .values(state=state, routed_at=at, reason=reason)
    )
    if left.rowcount:
        detail = f"revision {revision - 1}: {reason}"
        kind = "study overtake"
        transaction.note(Event(at, kind, state, study_instance_uid, detail=detail))


def _cancel_older(
    transaction: Transaction,
    study_instance_uid: str,
    revision: int,
    first: ReceivedInstance,
) -> None:
    """Cancel the jobs of older revisions that nobody has claimed."""
    state, at = state_after(JOB_STATES, "cancel"), first.received_at
    canceled = transaction.rows(
        update(jobs)
        .where(jobs.c.study_instance_uid == study_instance_uid)
        .where(jobs.c.revision < revision)
        .where(may(JOB_STATES, jobs.c.state, "cancel"))
        .values(state=state, finished_at=at, reason=f"superseded by {revision}")
        .returning(jobs.c.job_id)
    )
    for row in canceled:
        owner = (row.job_id, study_instance_uid)
        detail = f"superseded by revision {revision}"
        transaction.note(job_event(owner, "cancel", state, at, detail))


def _modalities(known: str, fresh: Iterable[ReceivedInstance]) -> str:
    """Each modality of the study once, in order of arrival, as DICOM joins values."""
    values = known.split("\\") if known else []
    values += [_value(received.attributes, "Modality") for received in fresh]
    return "\\".join(value for value in dict.fromkeys(values) if value)


def _first(keyword: str, fresh: Iterable[ReceivedInstance]) -> str:
    values = (_value(received.attributes, keyword) for received in fresh)
    return next((value for value in values if value), "")


def _value(attributes: Attributes, keyword: str) -> str:
    value = attributes.get(keyword, "")
    return clean(value if isinstance(value, str) else "\\".join(value))


def _identity_row(received: ReceivedInstance) -> dict[str, str]:
    identity = received.identity
    return {
        "study_instance_uid": received.key.study_instance_uid,
        "patient_id": clean(identity.patient_id),
        "patient_name": clean(identity.patient_name),
        "patient_birth_date": clean(identity.patient_birth_date),
        "patient_sex": clean(identity.patient_sex),
        "issuer_of_patient_id": clean(identity.issuer_of_patient_id),
    }
