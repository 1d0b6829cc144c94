"""The worker's loop: every way a job can end, and the line goes on."""

from __future__ import annotations

import threading
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from threading import Event
from time import monotonic, sleep
from types import SimpleNamespace

import pytest

from dicomnode.domain.findings import Presence
from dicomnode.domain.job import Job, Outcome
from dicomnode.errors import (
    DeviceLost,
    LostLease,
    NoSuitableImage,
    PredictionFailed,
    ResultError,
    WorklistError,
)
from dicomnode.worker.attempt import CRASHED, EXHAUSTED
from dicomnode.worker.loop import (
    RESTARTED,
    RETELL_SECONDS,
    LoopPolicy,
    WorkerFacts,
    WorkerLoop,
)
from dicomnode.worker.pipeline import Analysis

NOON = datetime(2026, 3, 29, 12, tzinfo=UTC)
FINE = Analysis(Outcome.ANALYSED, "", ())


class Noon:
    def now(self):
        return NOON


class Jobs:
    """A queue of jobs that notes what becomes of them."""

    def __init__(self, *job_ids, attempts=1):
        self.waiting = [
            Job(i, "1.2", 1, "cxr", 0, attempts, "w", NOON, NOON) for i in job_ids
        ]
        self.finished, self.failed, self.heartbeats, self.renewed = [], [], [], Event()
        self.reports, self.unreported = [], []
        self.lost = False

    def claim(self, worker_id, pipelines, now, lease_seconds, limit=1, above=None):
        fit = [j for j in self.waiting if above is None or j.priority > above]
        taken = fit[:limit]
        self.waiting = [one for one in self.waiting if one not in taken]
        return taken

    def claim_unreported(self, worker_id, pipelines, now, lease_seconds):
        taken, self.unreported = self.unreported[:1], self.unreported[1:]
        return taken

    def report(self, job, results, now):
        self.reports.append(results)

    def instances(self, study_instance_uid):
        return ()

    def renew(self, job, now, lease_seconds):
        self.renewed.set()
        return job

    def finish(self, job, outcome, reason, results, now, findings):
        if self.lost:
            raise LostLease("another worker has it; nothing to do")
        self.finished.append((job.job_id, outcome))
        self.findings = findings

    def earlier_results(self, job):
        return ()

    def fail(self, job, error, retry_at, now, results=()):
        self.failed.append((job.job_id, error, retry_at))
        self.reports.append(results)

    def heartbeat(self, worker):
        self.heartbeats.append((worker.state, worker.job_id))


class Pipeline:
    """Does what the test says with each job."""

    bundle = SimpleNamespace(name="cxr-qc", version="1", parameters={})
    of_series = False

    def __init__(self, *deeds):
        self.deeds = list(deeds)
        self.refusal = self.ending = None
        self.n_ended = 0

    def ended(self):
        self.n_ended += 1
        if self.ending:
            raise self.ending

    def refuse(self, job, instances, earlier, reason):
        if self.refusal:
            raise self.refusal
        return (reason,)

    def analyse(self, job, instances, earlier):
        deed = self.deeds.pop(0)
        if isinstance(deed, Exception):
            raise deed
        return deed() if callable(deed) else deed


def a_loop(jobs, *deeds, heartbeat_seconds=60.0, timeout_seconds=0.0, at_once=1):
    policy = LoopPolicy(
        120, heartbeat_seconds, 0.01, (10, 60), timeout_seconds, at_once
    )
    facts = WorkerFacts("w", "here", "cpu")
    return WorkerLoop(facts, {"cxr": Pipeline(*deeds)}, jobs, Noon(), policy)


def test_a_job_is_finished_with_its_outcome_and_findings():
    jobs = Jobs("a")
    found = {"turned": Presence.PRESENT}
    loop = a_loop(jobs, replace(FINE, findings=found))
    assert loop.run_once()
    assert jobs.finished == [("a", Outcome.ANALYSED)]
    assert jobs.findings == found
    assert not loop.run_once()


@pytest.mark.parametrize(
    ("error", "retried"),
    [
        (PredictionFailed("no memory; try again"), True),
        (RuntimeError("a bug"), True),
        (NoSuitableImage("no image; send one"), False),
    ],
)
def test_only_what_may_pass_is_tried_again(error, retried):
    jobs = Jobs("a")
    a_loop(jobs, error).run_once()
    [(_, text, retry_at)] = jobs.failed
    assert str(error) in text
    assert retry_at == (NOON + timedelta(seconds=10) if retried else None)


def test_retries_end():
    jobs = Jobs("a", attempts=3)
    a_loop(jobs, RuntimeError("again")).run_once()
    assert jobs.failed[0][2] is None


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (NoSuitableImage("no image fits; send one"), "no image fits"),
        (RuntimeError("of Mrs. X"), CRASHED),
    ],
)
def test_a_job_that_fails_for_good_leaves_a_report_that_says_so(error, reason):
    jobs = Jobs("a", attempts=3)
    a_loop(jobs, error).run_once()
    assert jobs.reports == [(reason,)]


def test_a_job_that_will_be_tried_again_leaves_none():
    jobs = Jobs("a")
    a_loop(jobs, RuntimeError("a bug")).run_once()
    assert jobs.reports == [()]


@pytest.mark.parametrize("error", [ResultError("no; mend it"), RuntimeError("a bug")])
def test_a_job_fails_even_if_its_report_cannot_be_made(error):
    jobs = Jobs("a", attempts=3)
    loop = a_loop(jobs, RuntimeError("a bug"))
    loop._pipelines["cxr"].refusal = error
    loop.run_once()
    assert jobs.reports == [()]
    assert len(jobs.failed) == 1


@pytest.mark.parametrize("deed", [FINE, RuntimeError("a bug")])
def test_what_an_attempt_leaves_behind_is_seen_to_and_may_fail(deed):
    jobs = Jobs("a", "b")
    loop = a_loop(jobs, deed, FINE)
    loop._pipelines["cxr"].ending = RuntimeError("no room for the monitor")
    assert loop.run_once()
    assert loop.run_once()
    assert loop._pipelines["cxr"].n_ended == 2
    assert jobs.finished[-1] == ("b", Outcome.ANALYSED)


@pytest.mark.parametrize(("attempts", "retry_seconds"), [(1, 10), (2, 60), (3, None)])
def test_a_job_that_hangs_is_retried_then_reported_and_ends_the_worker(
    attempts, retry_seconds
):
    jobs, never = Jobs("a", "b", attempts=attempts), Event()
    loop = a_loop(jobs, never.wait, FINE, timeout_seconds=0.05)
    assert loop.run(Event()) is False
    [(job_id, error, retry_at)] = jobs.failed
    assert job_id == "a"
    assert "no answer within 0.05 seconds" in error
    if retry_seconds is None:
        assert retry_at is None
        assert jobs.reports == [("no answer within 0.05 seconds",)]
    else:
        assert retry_at == NOON + timedelta(seconds=retry_seconds)
        assert jobs.reports == [()]
    assert len(jobs.waiting) == 1
    assert jobs.heartbeats[-1] == ("HANGS", None)
    never.set()


def test_a_hanging_job_gives_the_others_of_its_worker_back_at_once():
    jobs, never = Jobs("a", "b"), Event()
    began = threading.Barrier(2)

    def hang():
        began.wait(30)
        never.wait()

    loop = a_loop(jobs, hang, hang, timeout_seconds=0.3, at_once=2)
    loop._turn(claims=True)
    loop._held[1].began_at += 60
    assert loop.run(Event()) is False
    failed = {job_id: (error, retry_at) for job_id, error, retry_at in jobs.failed}
    assert failed["b"] == (RESTARTED, NOON)
    assert failed["a"][1] == NOON + timedelta(seconds=10)
    never.set()


def test_several_jobs_are_worked_on_at_once_and_an_urgent_one_besides():
    jobs, met = Jobs("a", "b"), threading.Barrier(3)
    urgent = replace(jobs.waiting[0], job_id="stat", priority=9)
    jobs.waiting = [*jobs.waiting, *Jobs("c").waiting, urgent]

    def meet():
        met.wait(30)
        return FINE

    a_loop(jobs, meet, meet, meet, FINE, at_once=2).run_once()
    assert {job_id for job_id, _ in jobs.finished} == {"a", "b", "stat"}
    assert [one.job_id for one in jobs.waiting] == ["c"]


def test_a_job_that_may_have_ended_a_worker_is_alone():
    jobs = Jobs("a")
    suspect, later = Jobs("b", attempts=2).waiting + Jobs("c").waiting
    jobs.waiting += [suspect, later]
    at_work, most = [], []

    def noted():
        at_work.append(1)
        most.append(len(at_work))
        at_work.pop()
        return FINE

    loop = a_loop(jobs, noted, noted, noted, at_once=3)
    loop.run_once()
    assert [one for one, _ in jobs.finished] == ["a", "b"]
    assert most == [1, 1]
    loop.run_once()
    assert [one for one, _ in jobs.finished] == ["a", "b", "c"]


def test_of_several_jobs_that_may_have_ended_a_worker_each_is_alone():
    jobs = Jobs()
    [low] = Jobs("low", attempts=2).waiting
    [high] = Jobs("high", attempts=2).waiting
    jobs.waiting = [low]
    loop = a_loop(jobs, FINE, FINE, at_once=3)
    loop._take_up()
    jobs.waiting = [replace(high, priority=9)]
    loop._take_up()
    assert [one.answer for one in loop._held] == [None, None]
    loop.run_once()
    assert [one for one, _ in jobs.finished] == ["high", "low"]


def test_a_lost_device_postpones_the_job_and_ends_the_worker():
    jobs = Jobs("a", "b")
    loop = a_loop(jobs, DeviceLost("the device cuda failed; look at the log"))
    assert loop.run(Event()) is False
    [(job_id, _, retry_at)] = jobs.failed
    assert (job_id, retry_at) == ("a", NOON + timedelta(seconds=10))
    assert [one.job_id for one in jobs.waiting] == ["b"]
    assert jobs.heartbeats[-1] == ("DEVICE_LOST", None)


def test_a_job_that_workers_died_of_is_reported_by_the_next_one():
    jobs, stop = Jobs(), Event()
    jobs.unreported = Jobs("dead").waiting
    loop = a_loop(jobs)
    loop.run_once()
    assert jobs.reports == [(EXHAUSTED,)]
    stop.set()
    assert loop.run(stop)


def test_a_broken_job_does_not_stop_the_next():
    jobs = Jobs("a", "b")
    loop = a_loop(jobs, RuntimeError("a bug"), FINE)
    loop.run_once()
    loop.run_once()
    assert jobs.finished == [("b", Outcome.ANALYSED)]


def test_work_whose_lease_was_lost_is_dropped():
    jobs = Jobs("a")
    jobs.lost = True
    a_loop(jobs, FINE).run_once()
    assert (jobs.finished, jobs.failed) == ([], [])


def test_a_long_job_keeps_its_lease():
    jobs = Jobs("a")

    def wait_for_renewal():
        assert jobs.renewed.wait(30)
        return FINE

    a_loop(jobs, wait_for_renewal, heartbeat_seconds=0.01).run_once()
    assert jobs.finished == [("a", Outcome.ANALYSED)]


def test_the_loop_ends_when_asked_and_says_so():
    jobs, stop = Jobs("a"), Event()

    def ask_to_stop():
        stop.set()
        return FINE

    assert a_loop(jobs, ask_to_stop).run(stop)
    assert jobs.finished == [("a", Outcome.ANALYSED)]
    assert jobs.heartbeats[0] == ("IDLE", None)
    assert jobs.heartbeats[-1] == ("STOPPED", None)


class AbsentOnce(Jobs):
    """A queue whose database is away for one look."""

    def __init__(self, *job_ids, error):
        super().__init__(*job_ids)
        self._error = error

    def claim(self, *about, **more):
        error, self._error = self._error, None
        if error:
            raise error
        return super().claim(*about, **more)


def test_a_worker_outlives_its_database():
    stop = Event()

    def last():
        stop.set()
        return FINE

    jobs = AbsentOnce("a", error=WorklistError("no server; start it"))
    assert a_loop(jobs, last).run(stop)
    assert jobs.finished == [("a", Outcome.ANALYSED)]


def test_a_failed_disk_ends_the_worker():
    class DiskGone(WorklistError):
        lasting = True

    jobs = AbsentOnce("a", error=DiskGone("the disk failed; restart"))
    with pytest.raises(DiskGone):
        a_loop(jobs, FINE).run(Event())


def test_an_idle_worker_is_woken():
    """With an hour between two looks, only being woken finds the job."""
    stop, looked = Event(), Event()

    class Late(Jobs):
        def claim(self, *about, **more):
            taken = super().claim(*about, **more)
            looked.set()
            return taken

    def last():
        stop.set()
        return FINE

    jobs = Late()
    loop = a_loop(jobs, last)
    loop._policy = replace(loop._policy, poll_seconds=3600)
    working = threading.Thread(target=loop.run, args=(stop,))
    working.start()
    assert looked.wait(60)
    jobs.waiting = Jobs("a").waiting
    loop.wake()
    working.join(60)
    assert not working.is_alive(), "it was asked to stop while its last job ended"
    assert jobs.finished == [("a", Outcome.ANALYSED)]


def test_a_job_of_a_moment_waits_for_no_word_about_it():
    """Each word is a commit; what was said may be out of date for a second."""
    names = [f"job{number}" for number in range(20)]
    stop = Event()

    def last():
        stop.set()
        return FINE

    jobs = Jobs(*names)
    began = monotonic()
    assert a_loop(jobs, *[FINE] * 19, last).run(stop)
    assert len(jobs.finished) == 20
    between = jobs.heartbeats[1:-1]  # the first heartbeat is due at once
    assert len(between) <= 1 + (monotonic() - began) / RETELL_SECONDS


def test_a_longer_job_is_told_of(monkeypatch):
    monkeypatch.setattr("dicomnode.worker.loop.RETELL_SECONDS", 0.05)
    jobs, stop = Jobs("a"), Event()

    def until_told():
        assert wait_until(lambda: ("BUSY", "a") in jobs.heartbeats)
        return FINE

    loop = a_loop(jobs, until_told)
    # Neither a look for jobs nor a heartbeat is due for an hour.
    loop._policy = replace(loop._policy, poll_seconds=3600, heartbeat_seconds=3600)
    working = threading.Thread(target=loop.run, args=(stop,))
    working.start()
    assert wait_until(lambda: jobs.heartbeats[-1] == ("IDLE", None) and jobs.finished)
    stop.set()
    working.join(60)
    assert not working.is_alive()


def wait_until(ready):
    ends_at = monotonic() + 60
    while not ready() and monotonic() < ends_at:
        sleep(0.01)
    return bool(ready())
