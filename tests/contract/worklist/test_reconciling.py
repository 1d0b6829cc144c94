"""Reconcile on both databases and on real stores: what it finds and what it repairs."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from io import BytesIO
from pathlib import Path

import pytest
from pydicom.dataset import Dataset
from sqlalchemy import text

from dicomnode.domain.delivery import NewResult
from dicomnode.domain.instance import InstanceKey, ReceivedInstance
from dicomnode.domain.job import Outcome
from dicomnode.domain.ownership import INSTANCE_CREATOR_UID
from dicomnode.domain.reconciliation import Discrepancy, Kind, Sums
from dicomnode.housekeeping.reconciling import ReconcilePolicy, Reconciler
from dicomnode.processes.reconcile import Header
from dicomnode.store import Inspection, LocalStore
from dicomnode.worklist import Worklist
from tests.contract.worklist.making import (
    COMPREHENSIVE_SR,
    CT,
    EXPLICIT,
    NOON,
    SECRET,
    after,
    current,
    delivered,
    followed,
    kinds,
    new_job,
    row,
)

STUDY = "1.2.826.0.1.3680043.8.498.7"
LONG_AGO = NOON - timedelta(days=1)
NOW = after(3600 * 24)


def data_set(number: int, study: str, creator: str = "") -> bytes:
    ds = Dataset()
    ds.SOPClassUID = CT
    ds.SOPInstanceUID = f"{study}.{number}"
    if creator:
        ds.InstanceCreatorUID = creator
    ds.Modality = "CT"
    ds.PatientName = SECRET
    ds.StudyInstanceUID = study
    ds.SeriesInstanceUID = f"{study}.0"
    encoded = BytesIO()
    ds.save_as(encoded, implicit_vr=False, little_endian=True)
    return encoded.getvalue()


class Now:
    """A clock that stands still."""

    def now(self) -> datetime:
        return NOW


@dataclass
class Bench:
    """A worklist with its two stores."""

    worklist: Worklist
    folder: Path
    found: list[tuple[Kind, str, bool]] = field(default_factory=list)
    settled: int = 0

    def __post_init__(self) -> None:
        self.instances = LocalStore(self.folder / "instances", 100)
        self.results = LocalStore(self.folder / "results", 100)

    def put(
        self, number: int = 1, study: str = STUDY, creator: str = ""
    ) -> ReceivedInstance:
        """A file in the store, and what the receiver would record of it."""
        key = InstanceKey(study, f"{study}.0", f"{study}.{number}", CT, EXPLICIT)
        stored = self.instances.put(key, [data_set(number, study, creator)])
        self.age(self.folder / "instances" / stored.location)
        creators = {"InstanceCreatorUID": creator} if creator else {}
        attributes = {"Modality": "CT", **creators}
        return ReceivedInstance(
            key, stored, NOON, "CT1", "DICOMNODE", "127.0.0.1", attributes
        )

    def keep(self, number: int = 1, study: str = STUDY, creator: str = "") -> Path:
        """An instance, received."""
        received = self.put(number, study, creator)
        self.worklist.intake.record(received)
        return self.folder / "instances" / received.stored.location

    def age(self, path: Path) -> None:
        os.utime(path, (LONG_AGO.timestamp(), LONG_AGO.timestamp()))

    def route(self, study: str = STUDY) -> None:
        self.worklist.studies.complete(current(self.worklist, study), NOON)
        one = current(self.worklist, study)
        assert self.worklist.studies.route(one, [new_job(study)], "", NOON)

    def result(self, *destinations: str, study: str = STUDY) -> NewResult:
        uid = f"{study}.99"
        key = InstanceKey(study, f"{study}.9", uid, COMPREHENSIVE_SR, EXPLICIT)
        stored = self.results.put(key, [b"a report of nothing"])
        self.age(self.folder / "results" / stored.location)
        return NewResult(
            "sr", COMPREHENSIVE_SR, uid, f"{study}.9", stored.location,
            stored.sha256, destinations,
        )  # fmt: skip

    def finish(self, *destinations: str, study: str = STUDY) -> Path:
        """A study analysed, with one result; the path of that."""
        self.route(study)
        result = self.result(*destinations, study=study)
        self.work(result)
        return self.folder / "results" / result.location

    def work(self, result: NewResult) -> None:
        (job,) = self.worklist.jobs.claim("w1", ["cxr"], NOW, 60)
        self.worklist.jobs.finish(job, Outcome.ANALYSED, "", [result], NOON)
        followed(self.worklist, NOON)

    def reconcile(
        self,
        repair: bool = False,
        verify: bool = False,
        settle: Callable[[], None] = lambda: None,
    ) -> Sums:
        self.found.clear()
        policy = ReconcilePolicy(3600, repair=repair, verify=verify, settle=settle)
        reconciler = Reconciler(
            self.worklist.ledger,
            self.worklist.mender,
            Inspection(self.folder / "instances"),
            Inspection(self.folder / "results"),
            Header(()),
            Now(),
        )
        return reconciler.run(policy, self.tell)

    def tell(self, found: Discrepancy, repaired: bool, why: str) -> None:
        assert repaired == (why == "")
        self.found.append((found.kind, found.subject, repaired))

    def kinds(self) -> list[Kind]:
        return [kind for kind, _, _ in self.found]

    def run(self, statement: str) -> None:
        with self.worklist._database.write() as transaction:
            if transaction.connection.dialect.name == "sqlite":
                off = "PRAGMA defer_foreign_keys=ON"
                transaction.connection.exec_driver_sql(off)
            transaction.execute(text(statement))


@pytest.fixture
def bench(worklist: Worklist, tmp_path: Path) -> Bench:
    return Bench(worklist, tmp_path)


def test_a_node_at_rest_is_balanced(bench: Bench) -> None:
    bench.keep(1)
    bench.keep(2)
    bench.finish("PACS")
    bench.keep(1, f"{STUDY}.1")
    delivered(bench.worklist)
    sums = bench.reconcile(verify=True)
    assert sums.balanced
    assert sums.as_record() == {
        "instances": {"analysed": 2, "waiting": 1},
        "excluded": {},
        "results": {"delivered": 1},
        "found": {},
        "n_files": 4,
    }
    (outcome,) = bench.worklist.views.reconciliations()
    assert (outcome["balanced"], outcome["n_found"]) == (1, 0)
    assert kinds(bench.worklist)[-1] == "node reconcile"


def test_everything_excluded_has_its_reason(bench: Bench) -> None:
    bench.keep(1)
    bench.worklist.studies.complete(current(bench.worklist, STUDY), NOON)
    one = current(bench.worklist, STUDY)
    bench.worklist.studies.route(one, [], "no rule wants MR", NOON)
    other = f"{STUDY}.1"
    bench.keep(1, other)
    bench.route(other)
    (job,) = bench.worklist.jobs.claim("w1", ["cxr"], NOON, 60)
    result = bench.result(study=other)
    bench.worklist.jobs.finish(job, Outcome.NOT_ANALYSED, "lateral", [result], NOON)
    bench.keep(7, other, creator=INSTANCE_CREATOR_UID)
    conflict = bench.put(1)
    changed = type(conflict.stored)(conflict.stored.location, 5, "ff")
    bench.worklist.intake.record(
        ReceivedInstance(conflict.key, changed, NOON, "", "", "", {})
    )
    sums = bench.reconcile()
    assert sums.as_record()["excluded"] == {
        "no rule wants MR": 1,
        "lateral": 1,
        "a result of this node that came back": 1,
        "other content under a known UID": 1,
    }
    assert sums.instances.total() == 4


def test_a_file_without_row_is_recorded(bench: Bench) -> None:
    orphan = bench.put(1)
    assert not bench.reconcile().balanced
    assert bench.found == [(Kind.FILE_WITHOUT_ROW, orphan.stored.location, False)]
    sums = bench.reconcile(repair=True)
    assert sums.balanced
    assert sums.as_record()["instances"] == {"waiting": 1}
    (there,) = bench.worklist.studies.instances(STUDY)
    assert there.attributes["Modality"] == "CT"
    assert bench.worklist.views.identity(STUDY)[0]["patient_name"] == SECRET
    assert "instance register" in kinds(bench.worklist)
    assert bench.reconcile(verify=True).balanced
    assert bench.found == []


def test_work_under_way_is_left_alone(bench: Bench) -> None:
    young = bench.put(1)
    moment = NOW.timestamp() - 5
    os.utime(bench.folder / "instances" / young.stored.location, (moment, moment))
    part = bench.folder / "instances" / young.stored.location
    part.with_suffix(".part").write_bytes(b"half")
    assert bench.reconcile(repair=True).balanced
    assert bench.found == []


def test_a_file_that_cannot_be_read_stays_and_is_told(bench: Bench) -> None:
    orphan = bench.put(1)
    path = bench.folder / "instances" / orphan.stored.location
    path.write_bytes(path.read_bytes()[:200])
    bench.age(path)
    assert not bench.reconcile(repair=True).balanced
    assert bench.kinds() == [Kind.FILE_WITHOUT_ROW]
    assert path.exists()


def test_a_missing_file_is_marked_and_healed_by_sending_it_again(bench: Bench) -> None:
    path = bench.keep(1)
    path.unlink()
    assert not bench.reconcile().balanced
    assert not bench.reconcile(repair=True).balanced
    assert bench.kinds() == [Kind.FILE_MISSING]
    assert bench.reconcile().balanced
    assert bench.worklist.intake.kept([f"{STUDY}.1"]) == {}
    bench.keep(1)
    assert bench.reconcile(verify=True).balanced
    assert list(bench.worklist.intake.kept([f"{STUDY}.1"])) == [f"{STUDY}.1"]


def test_a_marked_file_that_is_put_back_is_found(bench: Bench) -> None:
    path = bench.keep(1)
    content = path.read_bytes()
    path.unlink()
    bench.reconcile(repair=True)
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content)
    bench.age(path)
    assert bench.reconcile(repair=True).balanced
    assert bench.kinds() == [Kind.FILE_FOUND]
    assert bench.reconcile().balanced
    assert bench.found == []
    assert kinds(bench.worklist).count("instance found") == 1


@pytest.mark.parametrize("verify", [False, True])
def test_damage_is_found(bench: Bench, verify: bool) -> None:
    path = bench.keep(1)
    content = path.read_bytes()
    path.write_bytes(content[:-1] + b"X" if verify else content[:-2])
    bench.reconcile(repair=True, verify=verify)
    assert bench.kinds() == [Kind.FILE_DAMAGED]
    assert bench.reconcile(verify=True).balanced


def test_a_file_that_goes_while_we_look_is_no_alarm(bench: Bench) -> None:
    path = bench.keep(1)
    path.unlink()

    def retention_notes_it() -> None:
        bench.worklist.upkeep.forget_files(STUDY, NOON)

    assert bench.reconcile(settle=retention_notes_it).balanced


def test_the_files_of_an_expired_study_are_not_missed(bench: Bench) -> None:
    instance, result = bench.keep(1), bench.finish("PACS")
    delivered(bench.worklist)
    instance.unlink()
    result.unlink()
    bench.worklist.upkeep.forget_files(STUDY, NOON)
    bench.keep(1)
    assert bench.reconcile().balanced


def test_a_result_lost_before_it_was_sent_is_made_again(bench: Bench) -> None:
    bench.keep(1)
    path = bench.finish("PACS")
    path.unlink()
    assert bench.reconcile(repair=True).balanced
    assert bench.kinds() == [Kind.RESULT_MISSING]
    assert row(bench.worklist, STUDY)["job_state"] == "SCHEDULED"
    assert bench.reconcile().balanced
    bench.work(bench.result("PACS"))
    assert bench.reconcile().balanced
    (due,) = bench.worklist.outbox.due("PACS", NOW + timedelta(hours=2), 60, 9)
    with bench.results.open(due.location) as file:
        assert file.read()


def test_a_result_lost_after_it_was_sent_is_marked(bench: Bench) -> None:
    bench.keep(1)
    path = bench.finish("PACS")
    delivered(bench.worklist)
    path.unlink()
    bench.reconcile(repair=True)
    assert bench.kinds() == [Kind.RESULT_MISSING]
    assert row(bench.worklist, STUDY)["job_state"] == "COMPLETED"
    assert bench.reconcile().balanced
    assert "result missing" in kinds(bench.worklist)


def test_a_damaged_result_is_made_again(bench: Bench) -> None:
    bench.keep(1)
    path = bench.finish("PACS")
    content = path.read_bytes()
    path.write_bytes(content[:-1] + b"X")
    assert bench.reconcile(repair=True, verify=True).balanced
    bench.work(bench.result("PACS"))
    assert path.read_bytes() == content
    assert bench.reconcile(verify=True).balanced


def test_a_result_that_no_row_names_is_removed(bench: Bench) -> None:
    path = bench.folder / "results" / bench.result().location
    assert bench.reconcile(repair=True).balanced
    assert bench.kinds() == [Kind.RESULT_WITHOUT_ROW]
    assert not path.exists()
    assert kinds(bench.worklist)[-2:] == ["result remove", "node reconcile"]


def test_a_routed_study_without_a_job_is_routed_again(bench: Bench) -> None:
    bench.keep(1)
    bench.route()
    bench.run("DELETE FROM jobs")
    assert bench.reconcile(repair=True).balanced
    assert bench.kinds() == [Kind.NO_JOB]
    assert row(bench.worklist, STUDY)["study_state"] == "COMPLETE"
    assert bench.reconcile().balanced


def test_a_completed_job_without_result_runs_again(bench: Bench) -> None:
    bench.keep(1)
    bench.finish()
    bench.run("DELETE FROM results")
    bench.reconcile(repair=True)
    assert sorted(bench.kinds()) == [Kind.NO_RESULT, Kind.RESULT_WITHOUT_ROW]
    assert row(bench.worklist, STUDY)["job_state"] == "SCHEDULED"


def test_a_lease_that_ended_long_ago_is_given_back(bench: Bench) -> None:
    bench.keep(1)
    bench.route()
    bench.worklist.jobs.claim("w1", ["cxr"], NOON, 60)
    assert bench.reconcile(repair=True).balanced
    assert bench.kinds() == [Kind.LEASE_ENDED]
    assert row(bench.worklist, STUDY)["job_state"] == "SCHEDULED"


def test_rows_that_are_lost_are_told_with_their_remedy(bench: Bench) -> None:
    path = bench.keep(1)
    bench.run("DELETE FROM instances")
    path.unlink()
    assert not bench.reconcile(repair=True).balanced
    assert bench.found == [(Kind.ROWS_LOST, STUDY, False)]


def test_rows_whose_study_is_gone_are_told(bench: Bench) -> None:
    bench.keep(1)
    for table in ("series", "identities", "revisions", "studies"):
        bench.run(f"DELETE FROM {table}")
    assert not bench.reconcile(repair=True).balanced
    assert bench.kinds() == [Kind.NO_STUDY]


def test_wrong_counts_are_told_and_counted_again(bench: Bench) -> None:
    bench.keep(1)
    bench.finish()
    bench.run("UPDATE state_counts SET n = n + 7 WHERE n > 0")
    told = bench.worklist.views.counts()
    assert not bench.reconcile().balanced
    assert set(bench.kinds()) == {Kind.WRONG_COUNT}
    assert bench.worklist.views.counts() == told, "only a repair changes anything"
    assert bench.reconcile(repair=True).balanced
    assert (Kind.WRONG_COUNT, "job COMPLETED", True) in bench.found
    assert bench.worklist.views.counts()["job"]["COMPLETED"] == 1
    assert bench.reconcile().balanced
    assert bench.found == []


def test_many_pages_are_all_looked_at(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dicomnode.housekeeping.reconciling._PAGE", 2)
    paths = [bench.keep(number) for number in range(1, 6)]
    for number in range(1, 4):
        bench.keep(1, f"{STUDY}.{number}0")
    paths[4].unlink()
    sums = bench.reconcile()
    assert sums.instances.total() == 8
    assert sums.n_files == 7
    assert [subject for _, subject, _ in bench.found] == [
        paths[4].relative_to(bench.folder / "instances").as_posix()
    ]


def test_only_the_newest_outcomes_are_kept(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dicomnode.worklist.ledger._KEPT_OUTCOMES", 2)
    for second in range(4):
        bench.worklist.ledger.record(after(second), after(second), Sums())
    kept = bench.worklist.views.reconciliations(limit=9)
    assert len(kept) == 2
    assert datetime.fromisoformat(kept[0]["started_at"]).astimezone(UTC) == after(3)
