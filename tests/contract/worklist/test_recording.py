"""Intake: what recording an instance does to its study."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

import pytest

from dicomnode.domain.association import Association, Refusal
from dicomnode.domain.instance import (
    AttributeValue,
    Disposition,
    Identity,
    ReceivedInstance,
)
from dicomnode.domain.job import JobState
from dicomnode.domain.ownership import MANUFACTURER
from dicomnode.domain.study import StudyState
from dicomnode.errors import WorklistError
from dicomnode.worklist import Worklist
from tests.contract.worklist.making import (
    NOON,
    SECRET,
    STUDY,
    after,
    claimed,
    current,
    finished,
    kinds,
    new_result,
    received,
    row,
    scheduled,
    some_uid,
)


def test_a_new_instance_makes_a_study(worklist: Worklist) -> None:
    assert worklist.intake.record(received()) is Disposition.NEW
    study = current(worklist)
    assert (study.revision, study.state) == (1, StudyState.RECEIVING)
    assert (study.n_series, study.n_instances) == (1, 1)
    assert study.first_instance_at == study.last_instance_at == NOON
    assert (study.calling_ae_title, study.forced) == ("CT1", False)


def test_further_instances_move_the_last_instance_and_the_counts(
    worklist: Worklist,
) -> None:
    for number, series in ((1, 1), (2, 1), (1, 2)):
        worklist.intake.record(received(number, series=series, at=after(number)))
    study = current(worklist)
    assert (study.n_series, study.n_instances) == (2, 3)
    assert study.first_instance_at == after(1)


def test_an_instance_comes_back_as_it_was_recorded(worklist: Worklist) -> None:
    attributes: dict[str, AttributeValue] = {
        "Modality": "CT",
        "ImageType": ("ORIGINAL", "PRIMARY"),
        "Odd": "a\0b",
    }
    sent = received(attributes=attributes)
    worklist.intake.record(sent)
    (instance,) = worklist.studies.instances(STUDY)
    assert instance.attributes == attributes
    assert instance.location == sent.stored.location
    assert instance.transfer_syntax_uid == sent.key.transfer_syntax_uid
    assert worklist.jobs.instances(STUDY) == [instance]


def test_the_same_instance_again_changes_nothing(worklist: Worklist) -> None:
    worklist.intake.record(received())
    before = row(worklist)
    assert worklist.intake.record(received(at=after(9))) is Disposition.DUPLICATE
    assert row(worklist) == before
    assert kinds(worklist) == ["study receive"]


def test_other_content_is_kept_and_flagged(worklist: Worklist) -> None:
    worklist.intake.record(received())
    before = row(worklist)
    conflict = received(content="other", at=after(9))
    assert worklist.intake.record(conflict) is Disposition.CONFLICT
    assert worklist.intake.record(conflict) is Disposition.DUPLICATE
    assert worklist.intake.record(received(content="third")) is Disposition.CONFLICT
    assert row(worklist) == before
    (instance,) = worklist.studies.instances(STUDY)
    assert instance.location == received().stored.location
    assert kinds(worklist) == ["study receive", *["instance conflict"] * 2]


def test_a_conflict_alone_makes_no_study(worklist: Worklist) -> None:
    worklist.intake.record(received())
    other = replace(received().key, study_instance_uid="1.2.3")
    conflict = replace(received(content="other"), key=other)
    assert worklist.intake.record(conflict) is Disposition.CONFLICT
    assert [study.study_instance_uid for study in worklist.studies.receiving()] == [
        STUDY
    ]


@pytest.mark.parametrize("routed", [False, True])
def test_a_late_instance_opens_the_next_revision(
    worklist: Worklist, routed: bool
) -> None:
    worklist.intake.record(received(1))
    worklist.studies.complete(current(worklist), after(30))
    if routed:
        worklist.studies.route(current(worklist), [], "no rule matches", after(31))
    assert worklist.intake.record(received(2, at=after(60))) is Disposition.NEW
    study = current(worklist)
    assert (study.revision, study.state) == (2, StudyState.RECEIVING)
    assert (study.n_instances, study.last_instance_at) == (2, after(60))
    assert row(worklist, revision=1)["study_state"] == StudyState.NOT_ROUTED
    assert row(worklist, revision=1)["n_instances"] == 1
    assert row(worklist, revision=2)["n_series"] == 1


def test_a_revision_overtaken_before_it_was_routed_says_so(worklist: Worklist) -> None:
    """It would wait for ever: the router looks at the current revision only."""
    worklist.intake.record(received(1))
    worklist.studies.complete(current(worklist), after(30))
    worklist.intake.record(received(2, at=after(60)))
    assert "overtaken by revision 2" in row(worklist, revision=1)["reason"]
    assert kinds(worklist)[-2:] == ["study receive", "study overtake"]
    assert worklist.studies.unrouted() == []


def test_a_late_instance_cancels_only_jobs_nobody_has_claimed(
    worklist: Worklist,
) -> None:
    scheduled(worklist, "first", "second")
    (running,) = worklist.jobs.claim("w1", ["first"], NOON, 60)
    worklist.intake.record(received(2, at=after(60)))
    states = {one["pipeline"]: one["job_state"] for one in worklist.views.worklist()}
    assert states == {
        None: None,
        "first": JobState.IN_PROGRESS,
        "second": JobState.CANCELED,
    }
    assert worklist.jobs.claim("w2", ["second"], after(90), 60) == []
    assert worklist.jobs.renew(running, after(61), 60).attempts == 1


@pytest.mark.parametrize("again", [received(at=after(60)), received(content="other")])
def test_duplicates_and_conflicts_open_no_revision(
    worklist: Worklist, again: object
) -> None:
    claimed(worklist)
    worklist.intake.record(again)  # type: ignore[arg-type]  # a parameter
    assert [one["revision"] for one in worklist.views.worklist()] == [1]


def test_a_duplicate_of_a_forgotten_file_refreshes_its_location(
    worklist: Worklist,
) -> None:
    finished(worklist, new_result(1))
    worklist.upkeep.forget_files(STUDY, after(60))
    assert worklist.studies.instances(STUDY) == []
    again = received(at=after(90))
    again = replace(again, stored=replace(again.stored, location="new/place"))
    assert worklist.intake.record(again) is Disposition.DUPLICATE
    (instance,) = worklist.studies.instances(STUDY)
    assert instance.location == "new/place"
    expired = worklist.upkeep.expired(STUDY, after(999))
    assert expired
    assert expired.instance_locations == ("new/place",)


def test_identity_stays_in_its_view(worklist: Worklist) -> None:
    finished(worklist, new_result(1, "PACS"))
    worklist.intake.record(received(content="other"))
    views = worklist.views
    (identity,) = views.identity(STUDY)
    assert identity["patient_name"] == SECRET
    elsewhere = [views.worklist(), views.events(), views.deliveries(), views.workers()]
    assert SECRET not in str(elsewhere)
    assert views.identity("1.2.3") == []


def test_modalities_and_accession_number_of_a_study(worklist: Worklist) -> None:
    worklist.intake.record(received(1, attributes={"Modality": "CR"}))
    worklist.intake.record(
        received(2, attributes={"Modality": "SR", "AccessionNumber": "A7"})
    )
    worklist.intake.record(received(3, attributes={"Modality": "CR"}))
    assert row(worklist)["modality"] == "CR\\SR"
    assert row(worklist)["accession_number"] == "A7"


def test_text_that_no_database_holds_is_cleaned(worklist: Worklist) -> None:
    identity = Identity(patient_id="a\0b", patient_name="M\udce4rz")
    attributes = {"Modality": "CT\0", "StationName": "\udcff"}
    odd = replace(received(attributes=attributes), identity=identity)
    assert worklist.intake.record(odd) is Disposition.NEW
    (kept,) = worklist.views.identity(STUDY)
    assert (kept["patient_id"], kept["patient_name"]) == ("ab", "M?rz")


def test_what_cannot_be_recorded_is_an_error_with_a_remedy(worklist: Worklist) -> None:
    naive = replace(received(), received_at=NOON.replace(tzinfo=None))
    with pytest.raises(WorklistError, match="aware UTC"):
        worklist.intake.record(naive)
    assert worklist.studies.receiving() == []


def test_associations_are_listed_newest_first(worklist: Worklist) -> None:
    for number, accepted in enumerate((True, False, True)):
        worklist.intake.record_association(
            Association(
                at=after(number),
                calling_ae_title=f"AE{number}",
                called_ae_title="DICOMNODE",
                address="127.0.0.1",
                accepted=accepted,
                reason="" if accepted else "calling AE title not recognised",
                remedy="" if accepted else 'add [[peer]] ae_title = "AE1"',
            )
        )
    listed = worklist.views.associations(limit=2)
    assert [one["calling_ae_title"] for one in listed] == ["AE2", "AE1"]
    (refused,) = worklist.views.associations(refused_only=True)
    assert (refused["accepted"], refused["remedy"][:8]) == (0, "add [[pe")


def test_many_studies_in_any_order(worklist: Worklist) -> None:
    uids = [some_uid() for _ in range(5)]
    for number in range(3):
        for uid in uids:
            worklist.intake.record(received(number, study=uid))
    found = worklist.studies.receiving()
    assert {study.study_instance_uid for study in found} == set(uids)
    assert {study.n_instances for study in found} == {3}


def own_result(number: int, at: datetime = NOON) -> ReceivedInstance:
    """One of our reports, as a PACS sends it back."""
    return received(number, series=9, at=at, attributes={"Manufacturer": MANUFACTURER})


def test_our_own_result_opens_no_revision_and_moves_nothing(worklist: Worklist) -> None:
    worklist.intake.record(received())
    scheduled(worklist)
    before = row(worklist)
    assert worklist.intake.record(own_result(1, after(60))) is Disposition.NEW
    assert row(worklist) == before
    assert worklist.intake.record(own_result(1, after(61))) is Disposition.DUPLICATE


def test_a_study_may_begin_with_our_own_result(worklist: Worklist) -> None:
    worklist.intake.record(own_result(1))
    assert current(worklist).state is StudyState.RECEIVING
    worklist.intake.record(received(at=after(5)))
    assert current(worklist).last_instance_at == after(5)


def test_a_refused_instance_is_in_the_change_feed(worklist: Worklist) -> None:
    refusal = Refusal(
        NOON, "CT1", "10.0.0.1", "1.2", "evil\0uid", 0xC000, "no study UID"
    )
    worklist.intake.record_refusal(refusal)
    (event,) = worklist.views.events()
    assert event["kind"] == "instance refuse"
    assert "0xC000" in event["detail"]
    assert "no study UID" in event["detail"]
    assert "CT1" in event["detail"]
