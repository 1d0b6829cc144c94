"""The public views: their columns, and the same rows on both databases."""

from __future__ import annotations

import pytest
from sqlalchemy import inspect, text

from dicomnode.domain.desk import Pause, Service
from dicomnode.domain.job import Outcome
from dicomnode.domain.reconciliation import Sums
from dicomnode.errors import WorklistError
from dicomnode.worklist import Views, Worklist, open_views, open_worklist
from tests.contract.worklist.conftest import MakeUrl
from tests.contract.worklist.making import (
    NOON,
    STUDY,
    after,
    claimed,
    current,
    delivered,
    finished,
    new_job,
    new_result,
    received,
    scheduled,
)

COLUMNS = {
    "v1_worklist": "study_instance_uid revision accession_number modality "
    "calling_ae_title n_series n_instances study_state pipeline job_id job_state "
    "outcome reason attempts received_at completed_at started_at finished_at priority "
    "error held_at spooled_on",
    "v1_events": "seq at study_instance_uid job_id kind state detail",
    "v1_deliveries": "job_id destination result_kind sop_instance_uid state attempts "
    "next_attempt_at status error sent_at committed_at "
    "profile_used transaction_uid check_at verified_at",
    "v1_workers": "worker_id host device bundle state job_id heartbeat_at n_jobs "
    "jobs_per_hour queued_since warm_seconds",
    "v1_associations": "at calling_ae_title called_ae_title address accepted reason "
    "remedy",
    "v1_identity": "study_instance_uid patient_id patient_name patient_birth_date "
    "patient_sex issuer_of_patient_id",
    "v1_pauses": "service pipeline paused_at detail",
    "v1_chores": "name every_seconds began_at ended_at n_done last_done_at "
    "succeeded_at failed_at error holder enlisted_at led_until",
    "v1_reconciliations": "started_at finished_at balanced n_found n_repaired detail",
    "v1_absences": "destination began_at attempts next_attempt_at error n_waiting",
    "v1_backfills": "backfill_id archive state detail started_at heartbeat_at found_at "
    "finished_at n_found n_waiting n_asked n_received n_analysed n_skipped n_failed "
    "paused_at stop_asked_at",
    "v1_backfill_studies": "backfill_id study_instance_uid n_instances state reason "
    "attempts changed_at",
    "v1_roles": "process role host version started_at heartbeat_at leads_until",
    "v1_spools": "host n_instances n_studies oldest_at",
    "v1_counts": "kind state n",
    "v1_schema": "compatible_from",
}


def tell_a_story(worklist: Worklist) -> None:
    """A study with two revisions, one that failed, one that no rule wanted."""
    finished(worklist, new_result(1, "PACS"), new_result(2, "PACS"))
    delivered(worklist, at=after(5))
    worklist.outbox.committed("PACS", new_result(1).sop_instance_uid, after(6))
    worklist.intake.record(received(2, series=2, at=after(60)))
    worklist.intake.record(received(2, series=2, content="other", at=after(61)))
    worklist.studies.complete(current(worklist), after(90))
    jobs = [new_job(revision=2), new_job(pipeline="second", revision=2, priority=5)]
    worklist.studies.route(current(worklist), jobs, "", after(91))
    worklist.jobs.fail(claimed(worklist, "1.2.3", after(7)), "broken", None, after(8))
    worklist.intake.record(received(study="1.2.4", at=after(9)))
    worklist.studies.complete(current(worklist, "1.2.4"), after(9))
    worklist.studies.route(current(worklist, "1.2.4"), [], "no rule", after(9))
    worklist.holds.hold_study("1.2.4", after(10), "alice")
    worklist.pauses.pause(Pause(Service.WORK, after(11), "second"), "alice")
    worklist.ledger.record(after(12), after(13), Sums())


def everything(views: Views) -> list[object]:
    return [
        views.worklist(),
        views.events(),
        views.deliveries(),
        views.workers(),
        views.associations(),
        views.identity(STUDY),
        views.files(STUDY),
        views.counts(),
        views.pauses(),
        views.reconciliations(),
    ]


def test_the_views_are_equal_on_both_databases(
    make_sqlite: MakeUrl, make_postgresql: MakeUrl
) -> None:
    told = []
    for make in (make_sqlite, make_postgresql):
        with open_worklist(make()) as worklist:
            tell_a_story(worklist)
            told.append(everything(worklist.views))
    assert told[0] == told[1]
    assert len(told[0][0]) == 5  # type: ignore[arg-type]  # the rows of v1_worklist


def test_the_files_of_a_study(worklist: Worklist) -> None:
    tell_a_story(worklist)
    worklist.upkeep.forget_files(STUDY, after(99))
    found = worklist.views.files(STUDY)
    assert [(one["kind"], one["is_result"]) for one in found] == [
        ("instance", 0),
        ("instance", 0),
        ("conflict", 0),
        ("sr", 1),
        ("sr", 1),
    ]
    first, *_, last = found
    stored = received().stored
    assert (first["location"], first["n_bytes"]) == (stored.location, stored.n_bytes)
    assert first["job_id"] is None
    assert (last["location"], last["n_bytes"]) == (new_result(2).location, None)
    assert last["job_id"] == new_job().job_id
    assert {one["forgotten_at"] for one in found} == {"2026-01-31T12:01:39.000000Z"}
    assert worklist.views.files("1.2.4")[0]["missing_at"] is None


@pytest.mark.parametrize("view", COLUMNS)
def test_columns(worklist: Worklist, view: str) -> None:
    with worklist._database.read() as connection:
        found = inspect(connection).get_columns(view)
    assert [column["name"] for column in found] == COLUMNS[view].split()


def test_no_other_views(worklist: Worklist) -> None:
    with worklist._database.read() as connection:
        assert sorted(inspect(connection).get_view_names()) == sorted(COLUMNS)


def test_filters(worklist: Worklist) -> None:
    tell_a_story(worklist)
    worklist.intake.record(
        received(study="1.2.5", calling_ae_title="MR1", at=after(99))
    )
    views = worklist.views
    assert views.worklist(limit=1)[0]["study_instance_uid"] == "1.2.5"
    assert [one["job_state"] for one in views.worklist(state="FAILED")] == ["FAILED"]
    (unrouted,) = views.worklist(state="NOT_ROUTED")
    assert unrouted["reason"] == "no rule"
    assert [one["calling_ae_title"] for one in views.worklist(ae="MR1")] == ["MR1"]
    assert len(views.worklist(since=after(60))) == 3
    assert views.worklist(state="FAILED", ae="MR1") == []
    with pytest.raises(WorklistError, match="use one of RECEIVING"):
        views.worklist(state="failed")


def test_one_row_for_each_pipeline_and_an_empty_job_while_there_is_none(
    worklist: Worklist,
) -> None:
    worklist.intake.record(received())
    (waiting,) = worklist.views.worklist()
    empty = ("pipeline", "job_id", "job_state", "outcome", "attempts", "priority")
    assert {waiting[column] for column in empty} == {None}
    worklist.studies.complete(current(worklist), NOON)
    jobs = [new_job(pipeline=name) for name in ("a", "b")]
    worklist.studies.route(current(worklist), jobs, "", NOON)
    assert len(worklist.views.worklist()) == 2
    assert [one["pipeline"] for one in worklist.views.job(jobs[0].job_id)] == ["a"]


def test_counts(worklist: Worklist) -> None:
    tell_a_story(worklist)
    counts = worklist.views.counts()
    assert counts["study"] == {
        "RECEIVING": 0,
        "COMPLETE": 0,
        "ROUTED": 2,
        "NOT_ROUTED": 1,
    }
    assert counts["job"]["SCHEDULED"] == 2
    assert counts["delivery"] == {
        "PENDING": 0,
        "SENT": 1,
        "COMMITTED": 1,
        "REJECTED": 0,
        "FAILED": 0,
        "CANCELED": 0,
    }


def test_a_reader_sees_what_a_writer_has_committed(
    worklist: Worklist, url: str
) -> None:
    views = open_views(url)
    scheduled(worklist)
    assert len(views.worklist()) == 1
    (job,) = worklist.jobs.claim("w1", ["cxr"], NOON, 60)
    worklist.jobs.finish(job, Outcome.ANALYSED, "", [], NOON)
    assert views.worklist()[0]["outcome"] == "ANALYSED"
    views.close()


def test_a_reader_cannot_write(worklist: Worklist, url: str) -> None:
    views = open_views(url)
    for database in (views._database, worklist._database):
        with pytest.raises(WorklistError), database.read() as connection:
            connection.execute(text("DELETE FROM events"))
    views.close()
