"""A worklist as it is after years: what was received, analysed and delivered.

Rows are written straight into the tables, with the states that the program leaves
behind; a handful of studies is still on the way.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from itertools import islice
from typing import Any

from sqlalchemy import Table

from dicomnode.domain.job import job_id_of
from dicomnode.worklist import state_counts, upgrade
from dicomnode.worklist.engine import Database, open_database
from dicomnode.worklist.schema import (
    associations,
    deliveries,
    events,
    identities,
    instances,
    jobs,
    results,
    revisions,
    series,
    studies,
)

NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)
CT, SR, EXPLICIT = (
    "1.2.840.10008.5.1.4.1.1.2",
    "1.2.840.10008.5.1.4.1.1.88.33",
    "1.2.840.10008.1.2.1",
)
PIPELINE, DESTINATION = "cxr-qc", "PACS"
N_OPEN = 20
"""Studies that are still received, and jobs that wait, whatever else there is."""

_SECONDS_APART = 60
_AT_ONCE = 5000


@dataclass(frozen=True, slots=True)
class Size:
    """How much there is."""

    n_studies: int
    n_instances: int

    @property
    def per_study(self) -> int:
        return self.n_instances // self.n_studies


def fill(url: str, size: Size) -> None:
    """Make the database at ``url`` and fill it."""
    upgrade(url)
    database = open_database(url)
    try:
        for chosen in _chunks(range(size.n_studies), _AT_ONCE):
            _write(database, chosen, size)
        # As the keeper has it, minute for minute.
        state_counts.fold(database)
        database.checkpoint()
    finally:
        database.close()


def study_uid(number: int) -> str:
    """Of the study with this number: spread, as those of many devices are."""
    return f"2.25.{int(sha256(str(number).encode()).hexdigest()[:24], 16)}"


def arrived_at(number: int) -> datetime:
    """When its first instance came."""
    return NOON + timedelta(seconds=_SECONDS_APART * number)


def _chunks(numbers: range, n: int) -> Iterator[range]:
    for start in range(0, len(numbers), n):
        yield numbers[start : start + n]


def _write(database: Database, numbers: range, size: Size) -> None:
    every: Mapping[Table, Iterable[dict[str, Any]]] = {
        studies: (_study(n) for n in numbers),
        identities: (_identity(n) for n in numbers),
        revisions: (_revision(n, size) for n in numbers),
        series: (_series(n) for n in numbers),
        instances: (row for n in numbers for row in _instances(n, size)),
        jobs: (_job(n, size) for n in numbers),
        results: (_result(n) for n in numbers if not _is_open(n, size)),
        deliveries: (_delivery(n) for n in numbers if not _is_open(n, size)),
        associations: (_association(n) for n in numbers),
        events: (row for n in numbers for row in _events(n)),
    }
    with database.write() as transaction:
        for table, rows in every.items():
            found = iter(rows)
            while some := list(islice(found, _AT_ONCE)):
                transaction.insert(table, some)


def _is_open(number: int, size: Size) -> bool:
    return number >= size.n_studies - N_OPEN


def _study(number: int) -> dict[str, Any]:
    return {"study_instance_uid": study_uid(number), "revision": 1}


def _identity(number: int) -> dict[str, Any]:
    return {
        "study_instance_uid": study_uid(number),
        "patient_id": f"BENCH{number}",
        "patient_name": "PHANTOM^BENCH",
        "patient_birth_date": "",
        "patient_sex": "O",
        "issuer_of_patient_id": "",
    }


def _revision(number: int, size: Size) -> dict[str, Any]:
    # Of those on the way every second is still received, the others are routed.
    receiving = _is_open(number, size) and number % 2
    at = arrived_at(number)
    return {
        "study_instance_uid": study_uid(number),
        "revision": 1,
        "state": "RECEIVING" if receiving else "ROUTED",
        "reason": "",
        "received_at": at,
        "last_instance_at": at + timedelta(seconds=20),
        "completed_at": None if receiving else at + timedelta(seconds=50),
        "routed_at": None if receiving else at + timedelta(seconds=51),
        "n_series": 1,
        "n_instances": size.per_study,
        "accession_number": f"A{number}",
        "modality": "CT",
        "calling_ae_title": f"CT{number % 7}",
        "forced": False,
    }


def _series(number: int) -> dict[str, Any]:
    uid = study_uid(number)
    return {"study_instance_uid": uid, "series_instance_uid": f"{uid}.1"}


def _instances(number: int, size: Size) -> Iterator[dict[str, Any]]:
    uid, at = study_uid(number), arrived_at(number)
    for place in range(size.per_study):
        sop = f"{uid}.1.{place + 1}"
        content = sha256(sop.encode()).hexdigest()
        yield {
            "sop_instance_uid": sop,
            "ordinal": 0,
            "study_instance_uid": uid,
            "series_instance_uid": f"{uid}.1",
            "sop_class_uid": CT,
            "transfer_syntax_uid": EXPLICIT,
            "location": f"{content[:2]}/{uid}/{sop}.{content[:12]}.dcm",
            "n_bytes": 524_288,
            "sha256": content,
            "received_at": at,
            "calling_ae_title": f"CT{number % 7}",
            "called_ae_title": "DICOMNODE",
            "address": "127.0.0.1",
            "attributes": '{"Modality": "CT", "AccessionNumber": "A"}',
        }


def _job(number: int, size: Size) -> dict[str, Any]:
    done = not _is_open(number, size)
    # One in a thousand failed, as in life.
    state = ("FAILED" if number % 1000 == 7 else "COMPLETED") if done else "SCHEDULED"
    at = arrived_at(number)
    return {
        "job_id": job_id_of(study_uid(number), 1, PIPELINE),
        "study_instance_uid": study_uid(number),
        "revision": 1,
        "pipeline": PIPELINE,
        "priority": 0,
        "state": state,
        "outcome": "ANALYSED" if done else None,
        "attempts": int(done),
        "worker_id": "w1" if done else "",
        "scheduled_at": at,
        "not_before": at,
        "started_at": at if done else None,
        "finished_at": at if done else None,
        "followed_at": at if done else None,
    }


def _result(number: int) -> dict[str, Any]:
    uid = study_uid(number)
    return {
        "result_id": number + 1,
        "job_id": job_id_of(uid, 1, PIPELINE),
        "kind": "sr",
        "sop_class_uid": SR,
        "sop_instance_uid": f"{uid}.9.1",
        "series_instance_uid": f"{uid}.9",
        "location": f"00/{uid}/{uid}.9.1.000000000000.dcm",
        "sha256": "0" * 64,
        "built_at": arrived_at(number),
    }


def _delivery(number: int) -> dict[str, Any]:
    at = arrived_at(number)
    return {
        "result_id": number + 1,
        "job_id": job_id_of(study_uid(number), 1, PIPELINE),
        "destination": DESTINATION,
        "state": "COMMITTED",
        "attempts": 1,
        "next_attempt_at": at,
        "status": 0,
        "sent_at": at,
        "committed_at": at,
    }


def _association(number: int) -> dict[str, Any]:
    return {
        "at": arrived_at(number),
        "calling_ae_title": f"CT{number % 7}",
        "called_ae_title": "DICOMNODE",
        "address": "127.0.0.1",
        "accepted": int(number % 100 != 0),
        "reason": "",
        "remedy": "",
    }


def _events(number: int) -> Iterator[dict[str, Any]]:
    uid, at = study_uid(number), arrived_at(number)
    job_id = job_id_of(uid, 1, PIPELINE)
    for kind, of_job, state in (
        ("study receive", None, "RECEIVING"),
        ("study complete", None, "COMPLETE"),
        ("study route", None, "ROUTED"),
        ("job finish", job_id, "COMPLETED"),
        ("delivery send", job_id, "SENT"),
    ):
        yield {
            "at": at,
            "study_instance_uid": uid,
            "job_id": of_job,
            "kind": kind,
            "state": state,
            "detail": "",
        }
