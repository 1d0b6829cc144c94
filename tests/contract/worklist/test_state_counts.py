"""The counts by state are those of a full recount, whatever has happened."""

from __future__ import annotations

from contextlib import suppress
from datetime import datetime, timedelta

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)
from sqlalchemy import create_engine, text

from dicomnode.domain.job import Outcome
from dicomnode.errors import WorklistError
from dicomnode.worklist import (
    Worklist,
    check,
    copy,
    downgrade,
    open_worklist,
    state_counts,
    upgrade,
)
from dicomnode.worklist.schema import metadata
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
    some_uid,
)

RECOUNT = (
    "SELECT 'study', r.state, count(*) FROM studies s JOIN revisions r "
    "ON r.study_instance_uid = s.study_instance_uid AND r.revision = s.revision "
    "GROUP BY r.state UNION ALL SELECT 'job', state, count(*) FROM jobs GROUP BY state "
    "UNION ALL SELECT 'delivery', state, count(*) FROM deliveries GROUP BY state"
)


def run(url: str, *statements: str) -> list[tuple[object, ...]]:
    engine = create_engine(url)
    with engine.begin() as connection:
        found = [connection.execute(text(one)) for one in statements]
        rows = [tuple(row) for row in found[-1]] if found[-1].returns_rows else []
    engine.dispose()
    return rows


def recounted(worklist: Worklist) -> dict[tuple[str, str], int]:
    with worklist._database.read() as connection:
        return {
            (kind, state): n for kind, state, n in connection.execute(text(RECOUNT))
        }


def counted(worklist: Worklist) -> dict[tuple[str, str], int]:
    """What the node shows, without the zeros."""
    return {
        (kind, state): n
        for kind, states in worklist.views.counts().items()
        for state, n in states.items()
        if n
    }


def n_rows(worklist: Worklist) -> int:
    with worklist._database.read() as connection:
        found = connection.execute(text("SELECT count(*) FROM state_counts"))
        return int(found.scalar_one())


class CountsMachine(RuleBasedStateMachine):
    """Anything that the node and its admins do, to a handful of studies."""

    def __init__(self, worklist: Worklist) -> None:
        super().__init__()
        self.worklist = worklist
        self.now: datetime = NOON
        self.n_instances = 0

    @initialize()
    def begin(self) -> None:
        self.studies = [some_uid() for _ in range(3)]
        self.pipeline = some_uid()

    def tick(self) -> datetime:
        self.now += timedelta(seconds=1)
        return self.now

    @rule(which=st.integers(0, 2), again=st.booleans())
    def receive(self, which: int, again: bool) -> None:
        self.n_instances += not again
        one = received(self.n_instances, study=self.studies[which], at=self.tick())
        self.worklist.intake.record(one)

    @rule(routed=st.booleans())
    def complete_and_route(self, routed: bool) -> None:
        studies, now = self.worklist.studies, self.tick()
        for one in studies.receiving():
            studies.complete(one, now)
        for one in studies.unrouted():
            uid, revision = one.study_instance_uid, one.revision
            jobs = [new_job(uid, self.pipeline, revision)]
            studies.route(one, jobs if routed else [], "no rule", now)

    @rule()
    def only_complete(self) -> None:
        for one in self.worklist.studies.receiving():
            self.worklist.studies.complete(one, self.tick())

    @rule(end=st.sampled_from(["finish", "fail", "postpone", "die"]))
    def work(self, end: str) -> None:
        jobs, now = self.worklist.jobs, self.tick()
        for job in jobs.claim("w1", [self.pipeline], now, 60):
            uid = job.study_instance_uid
            results = [new_result(job.revision, "PACS", "PACS2", study=uid)]
            if end == "finish":
                jobs.finish(job, Outcome.ANALYSED, "", results, now)
            elif end != "die":
                jobs.fail(job, "why", now if end == "postpone" else None, now)

    @rule(well=st.booleans())
    def deliver(self, well: bool) -> None:
        outbox, now = self.worklist.outbox, self.tick()
        for one in outbox.due("PACS", now, 60, 9):
            if well:
                outbox.sent(one, 0, now)
            else:
                outbox.postpone(one, None, "no answer", None, now)

    @rule()
    def reap(self) -> None:
        self.now += timedelta(seconds=100)
        self.worklist.upkeep.reap(self.now, 2)

    @rule(which=st.integers(0, 2))
    def administer(self, which: int) -> None:
        desk, now, uid = self.worklist.desk, self.tick(), self.studies[which]
        with suppress(WorklistError):
            desk.reroute(uid, now)
        for row in self.worklist.views.study(uid):
            if row["job_id"]:
                for act in (desk.retry_job, desk.cancel_job):
                    with suppress(WorklistError):
                        act(row["job_id"], now)

    @rule(which=st.integers(0, 2))
    def purge(self, which: int) -> None:
        purge, now, uid = self.worklist.purge, self.tick(), self.studies[which]
        with suppress(WorklistError):
            files = purge.begin(uid, now)
            assert purge.finish(files, now, "me", "asked to")

    @rule(which=st.integers(0, 2))
    def forget(self, which: int) -> None:
        self.worklist.upkeep.forget_files(self.studies[which], self.tick())

    @rule(which=st.integers(0, 2))
    def roll_back(self, which: int) -> None:
        """What a transaction had done before it failed was never there."""
        with suppress(ZeroDivisionError), self.worklist._database.write() as writing:
            for name in ("jobs", "deliveries"):
                writing.execute(text(f"DELETE FROM {name} WHERE state = 'FAILED'"))
            writing.execute(text("UPDATE revisions SET state = 'COMPLETE'"))
            raise ZeroDivisionError

    @rule()
    def fold(self) -> None:
        with self.worklist._database.write() as transaction:
            state_counts._fold_oldest(transaction)

    @invariant()
    def the_counts_are_right(self) -> None:
        assert counted(self.worklist) == recounted(self.worklist)


def test_counts_equal_a_recount_after_anything(worklist: Worklist) -> None:
    class Machine(CountsMachine):
        def __init__(self) -> None:
            super().__init__(worklist)

    run_state_machine_as_test(
        Machine,
        settings=settings(
            max_examples=10,
            stateful_step_count=25,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )


def test_a_late_instance_moves_a_study_back(worklist: Worklist) -> None:
    finished(worklist)
    assert worklist.views.counts()["study"]["ROUTED"] == 1
    worklist.intake.record(received(2, at=after(9)))
    assert worklist.views.counts()["study"] == {
        "RECEIVING": 1, "COMPLETE": 0, "ROUTED": 0, "NOT_ROUTED": 0
    }  # fmt: skip


def test_many_rows_become_few(
    worklist: Worklist, monkeypatch: pytest.MonkeyPatch
) -> None:
    finished(worklist, new_result(1, "PACS"))
    assert worklist.upkeep.fold_counts() == 0, "few rows are left alone"
    before, right = n_rows(worklist), counted(worklist)
    monkeypatch.setattr(state_counts, "FOLD_AT", before)
    assert worklist.upkeep.fold_counts() == before
    assert n_rows(worklist) < before
    assert counted(worklist) == recounted(worklist) == right


def test_counting_makes_no_one_wait(make_postgresql: MakeUrl) -> None:
    """Two transactions change the same counts at once; a counter would be a lock."""
    url = make_postgresql()
    with open_worklist(url) as worklist:
        for study in ("1.2.1", "1.2.2"):
            scheduled(worklist, study=study)
    one, other = create_engine(url), create_engine(url)
    change = "UPDATE jobs SET state = 'FAILED' WHERE study_instance_uid = :study"
    with one.begin() as first, other.begin() as second:
        second.execute(text("SET LOCAL lock_timeout = '100ms'"))
        first.execute(text(change), {"study": "1.2.1"})
        second.execute(text(change), {"study": "1.2.2"})
    one.dispose()
    other.dispose()
    with open_worklist(url) as worklist:
        assert worklist.views.counts()["job"]["FAILED"] == 2
        assert counted(worklist) == recounted(worklist)


@pytest.mark.parametrize(
    "fault",
    [
        "INSERT INTO state_counts (kind, state, n) VALUES ('job', 'FAILED', 2)",
        "DELETE FROM state_counts WHERE kind = 'study'",
    ],
)
def test_a_wrong_count_is_noticed_and_corrected(url: str, fault: str) -> None:
    with open_worklist(url) as worklist:
        finished(worklist)
        assert check(url, integrity=True)
        assert worklist.ledger.wrong_counts() == []
        run(url, fault)
        with pytest.raises(WorklistError, match=r"v1_counts.*reconcile --repair"):
            check(url, integrity=True)
        [found] = worklist.ledger.wrong_counts()
        worklist.mender.count_again(after(9))
        assert worklist.ledger.wrong_counts() == []
        assert counted(worklist) == recounted(worklist)
        [event] = worklist.views.node_events("node count")
        assert event["detail"].startswith(found.subject)
        worklist.mender.count_again(after(10))
        assert len(worklist.views.node_events("node count", 9)) == 1
    assert check(url, integrity=True)


def test_the_migration_counts_what_is_there(make_url: MakeUrl) -> None:
    url = make_url(migrated=False)
    upgrade(url)
    with open_worklist(url) as worklist:
        finished(worklist, new_result(1, "PACS"))
        delivered(worklist)
        claimed(worklist, f"{STUDY}.2")
        worklist.intake.record(received(2, study=f"{STUDY}.2", at=after(9)))
        finished(worklist, study=f"{STUDY}.3")
        worklist.upkeep.forget_files(f"{STUDY}.3", after(1))
        right = counted(worklist)
        ended = worklist.upkeep.ended(after(99), 9)
    downgrade(url, "0009")
    # A program of that schema goes on meanwhile.
    run(url, "UPDATE jobs SET state = 'FAILED' WHERE state = 'IN_PROGRESS'")
    upgrade(url)
    with open_worklist(url) as worklist:
        right["job", "FAILED"] = right.pop(("job", "IN_PROGRESS"))
        assert counted(worklist) == recounted(worklist) == right
        assert worklist.upkeep.ended(after(99), 9) == ended != []


def test_a_copy_counts_for_itself(make_url: MakeUrl, make_sqlite: MakeUrl) -> None:
    source, target = make_url(), make_sqlite(migrated=False)
    with open_worklist(source) as worklist:
        finished(worklist, new_result(1, "PACS"))
        worklist.intake.record(received(2, at=after(9)))
        right = counted(worklist)
    tables = {one.table for one in copy(source, target)}
    assert tables == set(metadata.tables) - {"state_counts"}
    with open_worklist(target) as worklist:
        assert counted(worklist) == recounted(worklist) == right
        assert current(worklist).revision == 2
