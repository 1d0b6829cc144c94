"""What an admin keeps back, redirects and removes."""

from __future__ import annotations

from datetime import datetime

import pytest

from dicomnode.domain.desk import Pause, Redirect, Service
from dicomnode.errors import IllegalTransition, UnknownStudy
from dicomnode.worklist import Worklist
from tests.contract.worklist.making import (
    NOON,
    SECRET,
    STUDY,
    after,
    claimed,
    current,
    delivered,
    finished,
    kinds,
    new_result,
    received,
    row,
    scheduled,
)

OTHER = f"{STUDY}.77"


def claims(worklist: Worklist, at: datetime = NOON) -> int:
    return len(worklist.jobs.claim("w1", ["cxr", "qc"], at, 60, 9))


def last_event(worklist: Worklist) -> tuple[str, str]:
    event = worklist.views.events()[-1]
    return event["kind"], event["detail"]


def test_a_held_job_waits_for_its_release(worklist: Worklist) -> None:
    (job,) = scheduled(worklist)
    assert worklist.holds.hold_job(job.job_id, after(1), "alice")
    assert last_event(worklist) == ("job hold", "by alice")
    assert not worklist.holds.hold_job(job.job_id, after(2), "bob")
    assert row(worklist)["held_at"] is not None
    assert claims(worklist, after(3)) == 0
    assert worklist.holds.release_job(job.job_id, after(4), "alice")
    assert not worklist.holds.release_job(job.job_id, after(5))
    assert row(worklist)["held_at"] is None
    assert claims(worklist, after(6)) == 1


def test_a_job_that_has_ended_is_not_held(worklist: Worklist) -> None:
    job = finished(worklist)
    with pytest.raises(IllegalTransition, match="nothing to hold"):
        worklist.holds.hold_job(job.job_id, NOON)


def test_a_held_study_is_not_routed_nor_are_its_jobs_claimed(
    worklist: Worklist,
) -> None:
    worklist.intake.record(received())
    worklist.studies.complete(current(worklist), NOON)
    assert worklist.holds.hold_study(STUDY, NOON, "alice")
    assert worklist.studies.unrouted() == []
    assert worklist.holds.release_study(STUDY, NOON)
    assert len(worklist.studies.unrouted()) == 1
    (job,) = scheduled(worklist, study=OTHER)
    worklist.holds.hold_job(job.job_id, NOON)
    worklist.holds.hold_study(OTHER, NOON)
    assert claims(worklist) == 0
    assert worklist.holds.release_study(OTHER, NOON)
    assert claims(worklist) == 1
    assert kinds(worklist).count("study release") == 2
    assert not worklist.holds.release_study(OTHER, NOON)


def test_a_late_instance_does_not_release_a_study(worklist: Worklist) -> None:
    scheduled(worklist)
    worklist.holds.hold_study(STUDY, NOON)
    worklist.intake.record(received(2, at=after(5)))
    worklist.studies.complete(current(worklist), after(6))
    assert worklist.studies.unrouted() == []


def test_unknown_ones_are_told(worklist: Worklist) -> None:
    for act in (worklist.holds.hold_job, worklist.holds.release_job):
        with pytest.raises(UnknownStudy, match="dicomnode list"):
            act("7f", NOON)
    for act in (worklist.holds.hold_study, worklist.holds.release_study):
        with pytest.raises(UnknownStudy, match="dicomnode list"):
            act("1.2.3", NOON)
    with pytest.raises(UnknownStudy, match="dicomnode list"):
        worklist.purge.begin("1.2.3", NOON)


def test_a_pause_of_one_pipeline_and_of_all(worklist: Worklist) -> None:
    scheduled(worklist, "cxr", "qc")
    assert worklist.pauses.pause(Pause(Service.WORK, NOON, "cxr", "new GPU"), "alice")
    assert not worklist.pauses.pause(Pause(Service.WORK, NOON, "cxr"), "bob")
    assert last_event(worklist) == ("node pause", "cxr by alice: new GPU")
    (taken,) = worklist.jobs.claim("w1", ["cxr", "qc"], NOON, 60, 9)
    assert taken.pipeline == "qc"
    assert worklist.pauses.pause(Pause(Service.WORK, NOON))
    assert worklist.pauses.resume(after(1), "cxr") == 1
    assert claims(worklist) == 0
    assert worklist.views.pauses()[0]["service"] == "work"
    assert worklist.pauses.resume(after(2), by="alice") == 1
    assert claims(worklist) == 1
    assert worklist.pauses.resume(after(3)) == 0


def test_a_drain_is_of_the_receiver_alone(worklist: Worklist) -> None:
    scheduled(worklist)
    assert not worklist.pauses.draining()
    worklist.pauses.pause(Pause(Service.RECEIVE, NOON), "alice")
    assert worklist.pauses.draining()
    assert [one.service for one in worklist.pauses.all()] == [Service.RECEIVE]
    assert claims(worklist) == 1
    worklist.pauses.resume(NOON)
    assert not worklist.pauses.draining()


def test_resending_leaves_what_was_canceled(worklist: Worklist) -> None:
    job = finished(worklist, new_result(1, "PACS", "VNA"))
    delivered(worklist)
    delivered(worklist, "VNA")
    assert worklist.desk.resend_deliveries(job.job_id, NOON, "alice", "VNA") == 1
    (due,) = worklist.outbox.due("VNA", NOON, 60, 9)
    assert due.sop_instance_uid == new_result(1).sop_instance_uid
    assert worklist.outbox.due("PACS", NOON, 60, 9) == []
    assert last_event(worklist)[1].endswith("VNA by alice")


def failed(worklist: Worklist, destination: str = "PACS") -> None:
    for one in worklist.outbox.due(destination, NOON, 60, 9):
        worklist.outbox.postpone(one, 0xA900, "no", None, NOON)


def states(worklist: Worklist) -> list[tuple[str, str]]:
    rows = worklist.views.deliveries()
    return [(one["destination"], one["state"]) for one in rows]


def test_what_waits_for_a_removed_destination_is_redirected(
    worklist: Worklist,
) -> None:
    finished(worklist, new_result(1, "OLD"), new_result(2, "OLD"))
    redirect = Redirect("NEW", ("NEW", "PACS"))
    assert worklist.redirects.count(redirect, NOON) == {"OLD": 2}
    assert worklist.redirects.move(redirect, NOON, "alice") == 2
    assert states(worklist) == [("NEW", "PENDING"), ("NEW", "PENDING")]
    kind, detail = last_event(worklist)
    assert (kind, detail.split()[-5:]) == (
        "delivery redirect",
        ["OLD", "to", "NEW", "by", "alice"],
    )
    assert worklist.redirects.count(redirect, NOON) == {}


def test_a_redirect_never_sends_a_result_twice(worklist: Worklist) -> None:
    finished(worklist, new_result(1, "OLD", "OLDER", "PACS"))
    delivered(worklist)
    assert worklist.redirects.move(Redirect("PACS", ("PACS",)), NOON) == 2
    assert sorted(states(worklist)) == [
        ("OLD", "CANCELED"),
        ("OLDER", "CANCELED"),
        ("PACS", "SENT"),
    ]


def test_two_removed_destinations_become_one(worklist: Worklist) -> None:
    finished(worklist, new_result(1, "OLD", "OLDER"))
    assert worklist.redirects.move(Redirect("NEW", ("NEW",)), NOON) == 2
    assert sorted(states(worklist)) == [("NEW", "PENDING"), ("OLDER", "CANCELED")]


def test_a_redirect_of_a_configured_destination_names_it(worklist: Worklist) -> None:
    job = finished(worklist, new_result(1, "PACS"))
    finished(worklist, new_result(1, "PACS", study=OTHER), study=OTHER)
    known = ("PACS", "VNA")
    assert worklist.redirects.count(Redirect("VNA", known), NOON) == {}
    one = Redirect("VNA", known, "PACS", (job.job_id,))
    assert worklist.redirects.move(one, NOON) == 1
    assert states(worklist).count(("PACS", "PENDING")) == 1


def test_what_a_destination_refused_goes_to_it_again(worklist: Worklist) -> None:
    finished(worklist, new_result(1, "PACS"))
    failed(worklist)
    assert worklist.redirects.move(Redirect("PACS", ("PACS",)), NOON) == 1
    assert states(worklist) == [("PACS", "PENDING")]


def test_what_is_being_sent_is_not_redirected(worklist: Worklist) -> None:
    finished(worklist, new_result(1, "OLD"))
    worklist.outbox.due("OLD", NOON, 60, 9)
    redirect = Redirect("NEW", ("NEW",))
    assert worklist.redirects.move(redirect, after(1)) == 0
    assert worklist.redirects.move(redirect, after(61)) == 1


def test_a_purge_leaves_only_events(worklist: Worklist) -> None:
    finished(worklist, new_result(1, "PACS"))
    finished(worklist, new_result(1, study=OTHER), study=OTHER)
    worklist.intake.record(received(content="other"))
    study = worklist.purge.begin(STUDY, after(1), "alice")
    assert len(study.instance_locations) == 2
    assert len(study.result_locations) == 1
    assert worklist.purge.finish(study, after(2), "alice", "wrong patient")
    left = {one["study_instance_uid"] for one in worklist.views.worklist()}
    assert left == {OTHER}
    assert worklist.views.identity(STUDY) == []
    assert worklist.views.identity(OTHER)[0]["patient_name"] == SECRET
    assert last_event(worklist) == ("study purge", "3 file(s) by alice: wrong patient")
    assert "study receive" in kinds(worklist)
    worklist.intake.record(received(at=after(9)))
    assert row(worklist)["study_state"] == "RECEIVING"


def test_a_purge_takes_nothing_of_another_study(worklist: Worklist) -> None:
    """A conflict under the UID of another study's instance goes, that one stays."""
    worklist.intake.record(received())
    worklist.intake.record(received(2, study=OTHER))
    foreign = received(1, content="conflict")
    moved = received(1, study=OTHER, content="x")
    conflict = type(moved)(
        **{
            name: getattr(moved, name)
            for name in moved.__dataclass_fields__
            if name != "key"
        },
        key=type(moved.key)(
            OTHER,
            moved.key.series_instance_uid,
            foreign.key.sop_instance_uid,
            moved.key.sop_class_uid,
            moved.key.transfer_syntax_uid,
        ),
    )
    worklist.intake.record(conflict)
    study = worklist.purge.begin(OTHER, NOON)
    assert worklist.purge.finish(study, NOON, "", "")
    assert [one.sop_instance_uid for one in worklist.studies.instances(STUDY)] == [
        foreign.key.sop_instance_uid
    ]
    assert worklist.ledger.conflicts() == 0


def test_a_purge_begins_again_when_an_instance_has_come(worklist: Worklist) -> None:
    finished(worklist)
    study = worklist.purge.begin(STUDY, NOON)
    worklist.intake.record(received(2, at=after(5)))
    assert not worklist.purge.finish(study, NOON, "", "")
    assert len(worklist.views.worklist()) == 2
    assert worklist.purge.finish(worklist.purge.begin(STUDY, NOON), NOON, "", "")
    assert worklist.views.worklist() == []


def test_a_study_in_work_is_not_purged(worklist: Worklist) -> None:
    job = claimed(worklist)
    with pytest.raises(IllegalTransition, match="being analysed"):
        worklist.purge.begin(STUDY, NOON)
    assert job.job_id
    finished(worklist, new_result(1, "PACS", study=OTHER), study=OTHER)
    worklist.outbox.due("PACS", NOON, 60, 9)
    with pytest.raises(IllegalTransition, match="dicomnode hold"):
        worklist.purge.begin(OTHER, after(1))
    worklist.purge.begin(OTHER, after(61))
