"""Retention by rule: what goes, what stays, and how little is looked at again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from dicomnode import config
from dicomnode.domain.instance import Instance, InstanceKey
from dicomnode.domain.retention import Retention, RetentionRule
from dicomnode.housekeeping import retaining
from dicomnode.housekeeping.retaining import Retainer
from dicomnode.ports import Studies
from dicomnode.processes import auditing, keep, wiring
from dicomnode.store import LocalStore
from dicomnode.worklist import Worklist
from tests.contract.worklist.making import CT, EXPLICIT, NOON, current, received

RULES = Retention(7, (RetentionRule({"Modality": "DX"}, 365),))
CT_STUDY, DX_STUDY = "2.25.1", "2.25.2"


class Someday:
    """A clock that stands ``days`` after noon."""

    days = 0.0

    def now(self) -> datetime:
        return NOON + timedelta(days=self.days)


class Counted:
    """The studies, and how often their instances are read."""

    def __init__(self, studies: Studies) -> None:
        self._studies = studies
        self.read: list[str] = []

    def instances(self, uid: str) -> Sequence[Instance]:
        self.read.append(uid)
        return self._studies.instances(uid)


def _content(study: str) -> bytes:
    return f"the data of {study};".encode()


class Bench:
    """A retainer on real stores, with studies that are done with."""

    def __init__(self, worklist: Worklist, folder: Path) -> None:
        self.worklist = worklist
        self.clock = Someday()
        self.studies = Counted(worklist.studies)
        self.store = LocalStore(folder / "instances", 100)
        results = LocalStore(folder / "results", 100)
        ports = (worklist.upkeep, self.studies, self.store, results, self.clock)
        self.retainer = Retainer(*ports, RULES)  # type: ignore[arg-type]  # one of its questions

    def done_with(self, study: str, modality: str, at: datetime = NOON) -> None:
        key = InstanceKey(study, f"{study}.1", f"{study}.1.1", CT, EXPLICIT)
        stored = self.store.put(key, [_content(study)])
        one = received(study=study, at=at, attributes={"Modality": modality})
        self.worklist.intake.record(replace(one, stored=stored))
        self.worklist.studies.complete(current(self.worklist, study), at)
        self.worklist.studies.route(current(self.worklist, study), [], "nothing", at)

    def kept(self) -> set[str]:
        """The studies whose file is there."""
        found = set()
        for location in self.store.locations():
            with self.store.open(location) as file:
                content = file.read()
            found |= {one for one in (CT_STUDY, DX_STUDY) if _content(one) in content}
        return found

    def run_after(self, days: float) -> int:
        self.clock.days = days
        return self.retainer.run_once()


@pytest.fixture
def bench(worklist: Worklist, tmp_path: Path) -> Bench:
    return Bench(worklist, tmp_path)


def test_each_study_goes_when_its_own_time_is_over(bench: Bench) -> None:
    bench.done_with(CT_STUDY, "CT")
    bench.done_with(DX_STUDY, "DX")
    assert bench.run_after(7) == 0
    assert bench.run_after(7.1) == 1
    assert bench.kept() == {DX_STUDY}
    assert bench.run_after(365) == 0
    assert bench.run_after(365.1) == 1
    assert bench.kept() == set()
    assert bench.run_after(366) == 0


def test_a_kept_study_is_read_once_and_again_when_something_came(bench: Bench) -> None:
    bench.done_with(DX_STUDY, "DX")
    for days in (8, 9, 10):
        assert bench.run_after(days) == 0
    assert bench.studies.read == [DX_STUDY]
    late = NOON + timedelta(days=10)
    one = received(2, study=DX_STUDY, at=late, attributes={"Modality": "CT"})
    bench.worklist.intake.record(one)
    assert bench.run_after(400) == 0  # it waits again
    bench.worklist.studies.complete(current(bench.worklist, DX_STUDY), late)
    bench.worklist.studies.route(current(bench.worklist, DX_STUDY), [], "", late)
    assert bench.run_after(20) == 0
    assert bench.studies.read == [DX_STUDY, DX_STUDY]


def test_what_is_older_than_every_rule_is_not_read(bench: Bench) -> None:
    bench.done_with(DX_STUDY, "DX")
    assert bench.run_after(400) == 1
    assert bench.studies.read == []


def test_a_look_has_an_end_and_the_next_goes_on_from_there(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retaining, "PAGE", 2)
    monkeypatch.setattr(retaining, "PAGES_AT_ONCE", 1)
    names = [f"2.25.1{number}" for number in range(4)]
    for name in names:
        bench.done_with(name, "DX")
    bench.done_with(CT_STUDY + "9", "CT")
    assert bench.run_after(8) == 0
    assert bench.studies.read == names[:2]
    assert bench.run_after(8) == 0
    assert bench.studies.read == names
    assert bench.run_after(8) == 1  # and from the first one on again
    assert bench.run_after(8) == 0
    assert bench.studies.read == [*names, CT_STUDY + "9"]


def test_so_many_instances_are_read_at_once(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retaining, "READ_AT_ONCE", 2)
    names = [f"2.25.1{number}" for number in range(3)]
    for name in names:
        bench.done_with(name, "DX")
    assert bench.run_after(8) == 0
    assert bench.studies.read == names[:2]
    assert bench.run_after(8) == 0
    assert bench.studies.read == names


def test_so_many_are_removed_at_once(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retaining, "REMOVED_AT_ONCE", 2)
    for number in range(3):
        bench.done_with(f"2.25.1{number}", "CT")
    assert [bench.run_after(8) for _ in range(3)] == [2, 1, 0]


class LateArrival:
    """The upkeep; between looking and removing another instance comes."""

    def __init__(self, bench: Bench) -> None:
        self._upkeep = bench.worklist.upkeep
        self._bench = bench

    def ended(self, before, limit, after):
        found = self._upkeep.ended(before, limit, after)
        self._bench.worklist.intake.record(received(2, study=CT_STUDY))
        return found

    def expired(self, study, before):
        return self._upkeep.expired(study, before)


def test_a_study_that_goes_on_meanwhile_stays(bench: Bench) -> None:
    bench.done_with(CT_STUDY, "CT")
    bench.retainer._upkeep = LateArrival(bench)  # type: ignore[assignment]  # ours
    assert bench.run_after(8) == 0
    assert bench.kept() == {CT_STUDY}


@pytest.fixture
def configured(tmp_path: Path, url: str) -> config.Config:
    path = tmp_path / "config.toml"
    path.write_text(
        "[retention]\nkeep_days = 7\n"
        '[[retention.rule]]\nmatch = { Modality = "DX" }\nkeep_days = 36500\n'
        '[[retention.rule]]\nmatch = { Modality = "CT", Exposure = { not = 9 } }\n'
        "keep_days = 2\n"
        f'[store]\nurl = "{tmp_path / "instances"}"\n'
    )
    environ = {"CREDENTIALS_DIRECTORY": "/nonexistent", "DICOMNODE_DATABASE__URL": url}
    return config.load(path, environ=environ)


def test_the_receiver_records_what_rules_of_retention_ask(
    configured: config.Config,
) -> None:
    assert wiring.extra_keywords(configured) == ("Exposure",)


def test_the_keeper_removes_ct_and_keeps_dx(
    bench: Bench, configured: config.Config
) -> None:
    bench.done_with(CT_STUDY, "CT")
    bench.done_with(DX_STUDY, "DX")
    with auditing.audited_role("keep", configured) as audit:
        chores = keep._chores(configured, bench.worklist, audit)
        (retain,) = (one for one in chores if one.name == "retain")
        assert [retain.run(), retain.run()] == [1, 0]
    assert bench.kept() == {DX_STUDY}
    kinds = [one["kind"] for one in bench.worklist.views.events_of(CT_STUDY)]
    assert kinds[-1] == "study forget files"
