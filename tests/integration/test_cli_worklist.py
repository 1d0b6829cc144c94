"""The commands that read and change the worklist, on a real database."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from click.testing import Result
from typer.testing import CliRunner

from dicomnode.cli.app import app
from dicomnode.cli.embedded import EmbeddedViews
from dicomnode.domain.association import Association
from dicomnode.domain.chore import ChoreRun
from dicomnode.domain.delivery import NewResult
from dicomnode.domain.findings import StudyFindings
from dicomnode.domain.instance import InstanceKey
from dicomnode.domain.job import Outcome, Worker
from dicomnode.domain.series import KeySlice
from dicomnode.health.alarms import short_hash
from dicomnode.results import build, encode_data_set
from dicomnode.store import LocalStore
from dicomnode.worklist import Worklist, open_views, open_worklist, upgrade
from tests.contract.worklist.making import (
    SECRET,
    claimed,
    finished,
    new_result,
    received,
    scheduled,
)
from tests.unit.results import cases

ROOT = Path(__file__).resolve().parents[2]
UID = "1.2.826.0.1.3680043.8.498."
WAITING, FAILED, DONE, DEAD, UNROUTED, FRESH = (f"{UID}{n}" for n in range(1, 7))
START = datetime(2026, 1, 31, 12, tzinfo=UTC)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path / "none"))
    (tmp_path / "config.toml").write_text(
        "[store]\nwatermark_percent = 100\n[worker]\nlease_seconds = 60\n"
        '[[destination]]\nname = "PACS"\nae_title = "X"\nhost = "x"\nport = 1\n'
    )
    return tmp_path


@pytest.fixture
def url(here: Path) -> str:
    url = f"sqlite:///{here / 'var' / 'worklist.db'}"
    upgrade(url)
    return url


@pytest.fixture
def worklist(url: str) -> Iterator[Worklist]:
    with open_worklist(url) as worklist:
        yield worklist


def invoke(*words: str) -> Result:
    return CliRunner().invoke(app, list(words))


def records(*words: str) -> list[dict[str, object]]:
    result = invoke(*words, "--json")
    return [json.loads(line) for line in result.stdout.splitlines()]


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def fail(worklist: Worklist, study: str = FAILED) -> str:
    job = claimed(worklist, study, at(10))
    worklist.jobs.fail(job, "no pixels; send the image again", None, at(11))
    return job.job_id


def bury(worklist: Worklist, study: str = DEAD) -> str:
    """A finished job whose delivery was given up."""
    job = finished(worklist, new_result(1, "PACS", study=study), study=study, at=at(20))
    (delivery,) = worklist.outbox.due("PACS", at(20), 60, 9)
    worklist.outbox.postpone(delivery, 0xA700, "out of resources", None, at(21))
    return job.job_id


def fill(worklist: Worklist) -> None:
    """One study in each situation."""
    scheduled(worklist, "of another worker", study=WAITING, at=at(0))
    fail(worklist)
    bury(worklist)
    finished(worklist, study=DONE, at=at(30))
    worklist.intake.record(received(study=UNROUTED, at=at(40), calling_ae_title="MR1"))
    (study,) = worklist.studies.receiving()
    worklist.studies.complete(study, at(41))
    (study,) = worklist.studies.unrouted()
    worklist.studies.route(study, [], "no pipeline wants it", at(42))
    worklist.intake.record(received(study=FRESH, at=at(50), calling_ae_title="MR1"))


def refuse(worklist: Worklist) -> None:
    worklist.intake.record_association(
        Association(
            at(60),
            "STRANGER",
            "DICOMNODE",
            "10.0.0.9",
            accepted=False,
            reason="unknown calling AE title",
            remedy='[[peer]]\nae_title = "STRANGER"',
        )
    )


def beat(worklist: Worklist, moment: datetime) -> None:
    facts = ("w1", "host", "cpu", "cxr-qc 1.0.0", "IDLE", None, moment)
    worklist.jobs.heartbeat(Worker(*facts, warm_seconds=2.5))


def test_the_embedded_reader_equals_the_views(worklist: Worklist, url: str) -> None:
    fill(worklist)
    refuse(worklist)
    beat(worklist, at(1))
    # A second revision, so that counts must choose the current one.
    worklist.intake.record(received(2, study=DONE, at=at(70)))
    path = Path(url.removeprefix("sqlite:///"))
    with closing(open_views(url)) as real, closing(EmbeddedViews(path)) as mine:
        for arguments in (
            {},
            {"state": "FAILED"},
            {"state": "NOT_ROUTED"},
            {"ae": "MR1"},
            {"since": at(40)},
            {"limit": 2},
        ):
            expected = real.worklist(**arguments)
            assert mine.worklist(**arguments) == expected
            assert expected
        assert mine.counts() == real.counts()
        assert mine.events() == real.events()
        assert mine.events(3, 2) == real.events(3, 2)
        assert mine.last_seq() == real.last_seq() > 10
        assert mine.deliveries() == real.deliveries() != []
        job_id = mine.worklist(state="FAILED")[0]["job_id"]
        assert mine.job(job_id) == real.job(job_id)
        assert mine.deliveries(job_id) == real.deliveries(job_id) == []
        assert mine.files(DONE) == real.files(DONE) != []
        assert mine.workers() == real.workers() != []
        assert mine.oldest() == real.oldest() is not None
        assert mine.unrouted(at(99)) == real.unrouted(at(99))
        assert mine.stranded(()) == real.stranded(())
        assert mine.late() == real.late()
        assert mine.associations() == real.associations() != []
        assert mine.associations(refused_only=True) == real.associations()
        assert sum(mine.counts()["study"].values()) == 6


def test_the_embedded_reader_cannot_write(worklist: Worklist, url: str) -> None:
    path = Path(url.removeprefix("sqlite:///"))
    with closing(EmbeddedViews(path)) as views, pytest.raises(Exception, match="read"):
        views._run("DELETE FROM events", {})


def test_status_of_a_healthy_node(worklist: Worklist) -> None:
    finished(worklist, study=DONE, at=at(0))
    result = invoke("status")
    assert result.exit_code == 0
    assert result.stdout.startswith("healthy    Research use only.")
    (record,) = records("status")
    assert record["healthy"] is True
    assert record["problems"] == []
    assert record["counts"]["job"]["COMPLETED"] == 1


def test_status_says_all_that_is_wrong_with_its_remedy(worklist: Worklist) -> None:
    fill(worklist)
    refuse(worklist)
    result = invoke("status")
    assert result.exit_code == 3
    lines = result.stdout.splitlines()
    assert lines[0].startswith("unhealthy")
    text = result.stdout
    assert "! 1 failed job(s); see `dicomnode show JOB`" in text
    assert "no pixels; send the image again" in text
    assert "! 1 result(s) not delivered" in text
    assert "! 1 job(s) wait and no worker is alive" in text
    assert f"oldest     {WAITING} SCHEDULED" in text
    assert "STRANGER from 10.0.0.9" in text
    assert '[[peer]]\n             ae_title = "STRANGER"' in text
    assert "lines for config.toml; then `dicomnode reload`" in text
    assert SECRET not in text
    assert "disk " in text


def test_status_says_which_results_wait_and_why(worklist: Worklist) -> None:
    finished(worklist, new_result(1, "PACS", study=DONE), study=DONE, at=at(20))
    assert "late" not in invoke("status").stdout
    (delivery,) = worklist.outbox.due("PACS", at(20), 60, 9)
    worklist.outbox.postpone(delivery, None, "PACS@x:1: check it runs", at(90), at(21))
    result = invoke("status")
    assert result.exit_code == 0
    assert "late       1 result(s) wait for PACS" in result.stdout
    assert "2026-01-31T12:01:30.000000Z: PACS@x:1: check it runs" in result.stdout
    (record,) = records("status")
    assert [row["attempts"] for row in record["late_deliveries"]] == [1]


def test_status_says_which_destination_is_not_reached_and_why(
    worklist: Worklist,
) -> None:
    finished(worklist, new_result(1, "PACS", study=DONE), study=DONE, at=at(20))
    worklist.outbox.absent("PACS", "PACS@x:1: no association; check it", (90,), at(21))
    result = invoke("status")
    assert result.exit_code == 3
    assert "! PACS cannot be reached for" in result.stdout
    assert "1 result(s) wait; it is tried again at 2026-01-31T12:0" in result.stdout
    assert "`dicomnode retry --to PACS` tries it at once" in result.stdout
    assert "PACS@x:1: no association; check it" in result.stdout
    (record,) = records("status")
    assert [row["destination"] for row in record["absences"]] == ["PACS"]
    worklist.outbox.present("PACS", at(30))
    assert "cannot be reached" not in invoke("status").stdout


def test_status_says_which_chore_of_the_keeper_fails(worklist: Worklist) -> None:
    worklist.chores.enlist({"retain": 3600.0, "sweep": 3600.0}, "host-1", at(0))
    worklist.chores.ran(ChoreRun("sweep", at(1), at(2), n_done=4))
    assert "sweep" not in invoke("status").stdout
    worklist.chores.ran(ChoreRun("retain", at(1), at(2), error="no room; free some"))
    result = invoke("status")
    assert result.exit_code == 3
    (line,) = (one for one in result.stdout.splitlines() if "housekeeping" in one)
    assert line.startswith("! housekeeping: retain failed ")
    assert line.endswith(" ago: no room; free some")
    (record,) = records("status")
    told = {row["name"]: (row["failing"], row["overdue"]) for row in record["chores"]}
    assert told == {"retain": (True, False), "sweep": (False, False)}
    assert [row["n_done"] for row in record["chores"]] == [0, 4]


def test_status_knows_a_live_worker_from_a_dead_one(worklist: Worklist) -> None:
    scheduled(worklist, study=WAITING, at=at(0))
    beat(worklist, datetime.now(UTC))
    result = invoke("status")
    assert result.exit_code == 0
    assert "cxr-qc 1.0.0, warm after 2.5 s" in result.stdout
    assert "queue      the oldest job waits" in result.stdout
    beat(worklist, datetime.now(UTC) - timedelta(seconds=61))
    result = invoke("status")
    assert result.exit_code == 3
    assert "GONE" in result.stdout


def test_status_forgets_the_workers_of_days_ago_but_the_last(
    worklist: Worklist,
) -> None:
    now = datetime.now(UTC)
    for number, days in enumerate((2, 3, 4)):
        heard = now - timedelta(days=days)
        worker = Worker(f"w{number}", "host", "cpu", "b", "STOPPED", None, heard)
        worklist.jobs.heartbeat(worker)
    assert [row["worker_id"] for row in records("status")[0]["workers"]] == ["w0"]
    assert "w0 cpu STOPPED, heard of 2 d ago" in invoke("status").stdout
    beat(worklist, now)
    (record,) = records("status")
    assert [row["worker_id"] for row in record["workers"]] == ["w1"]
    assert "STOPPED" not in invoke("status").stdout


def test_list_is_newest_first_and_filters(worklist: Worklist) -> None:
    fill(worklist)
    lines = invoke("list").stdout.splitlines()
    assert lines[0].split("\t")[0] == "received_at"
    studies = [line.split("\t")[9] for line in lines[1:]]
    assert studies == [FRESH, UNROUTED, DONE, DEAD, FAILED, WAITING]
    assert lines[5].split("\t")[8] == "no pixels; send the image again"

    def listed(*words: str) -> list[object]:
        return [row["study_instance_uid"] for row in records("list", *words)]

    assert listed("--state", "failed") == [FAILED]
    assert listed("--state", "not-routed") == [UNROUTED]
    assert listed("--ae", "MR1") == [FRESH, UNROUTED]
    assert listed("-n", "2") == [FRESH, UNROUTED]
    assert listed("--since", at(25).isoformat()) == [FRESH, UNROUTED, DONE]
    assert listed("--since", "1h", "--ae", "CT1") == []


def test_show_a_job(worklist: Worklist) -> None:
    fill(worklist)
    job_id = str(records("list", "--state", "FAILED")[0]["job_id"])
    text = invoke("show", job_id).stdout
    assert f"study_instance_uid   {FAILED}" in text
    assert "error                no pixels; send the image again" in text
    assert f"remedy               `dicomnode retry {job_id}`" in text
    assert "FAILED      cxr attempt 1" in text
    assert SECRET not in text


def driven_by_slices() -> StudyFindings:
    """What a bundle for series would say: slices 4 and 5 drove the findings."""
    found = cases.positive()
    uid = found.images[0].sop_instance_uid
    slices = (KeySlice(uid, 4, 0.8), KeySlice(uid, 5, 0.9, position_mm=12.5))
    images = [
        replace(
            image, findings=tuple(replace(x, slices=slices) for x in image.findings)
        )
        for image in found.images
    ]
    return replace(found, images=tuple(images))


def keep_results(
    here: Path, worklist: Worklist, findings: StudyFindings | None = None
) -> str:
    """A finished job whose results are in the store; its id."""
    store = LocalStore(here / "var" / "results", 100)
    kept = []
    for one in build(cases.context(), findings or cases.positive(), ["sr", "sc"]):
        key = InstanceKey(
            DONE,
            one.series_instance_uid,
            one.sop_instance_uid,
            one.sop_class_uid,
            "1.2.840.10008.1.2.1",
        )
        stored = store.put(key, [encode_data_set(one.dataset)])
        kept.append(
            NewResult(
                one.kind,
                one.sop_class_uid,
                one.sop_instance_uid,
                one.series_instance_uid,
                stored.location,
                stored.sha256,
                (),
            )
        )
    return finished(worklist, *kept, study=DONE, at=START).job_id


def test_the_report_of_a_job_is_one_page(here: Path, worklist: Worklist) -> None:
    job_id = keep_results(here, worklist)
    result = invoke("show", job_id, "--report", "--out", "page.html")
    assert (result.exit_code, result.stdout) == (0, f"{here / 'page.html'}\n")
    page = (here / "page.html").read_text(encoding="utf-8")
    assert "suggests" in page
    assert page.count("data:image/jpeg") == 3
    assert invoke("show", DONE, "--report").stdout == page
    for path in (here / "var" / "results").rglob("*.dcm"):
        path.unlink()
    gone = invoke("show", job_id, "--report")
    assert gone.exit_code == 4
    assert "are gone" in gone.stderr


def test_show_says_what_was_found_and_in_which_slices(
    here: Path, worklist: Worklist
) -> None:
    job_id = keep_results(here, worklist, driven_by_slices())
    assert "most in slice" not in invoke("show", job_id).stdout
    text = invoke("show", job_id, "--findings").stdout
    assert f"findings of {job_id}" in text
    assert "slices 4-5, most in slice 5 (12.5 mm)" in text
    [said] = [
        one
        for one in records("show", job_id, "--findings")
        if one["record"] == "findings"
    ]
    assert said["job_id"] == job_id
    assert "most in slice 5" in said["conclusion"]


def test_a_job_without_a_report_says_so(worklist: Worklist) -> None:
    result = invoke("show", fail(worklist), "--report")
    assert result.exit_code == 4
    assert "has no report" in result.stderr
    assert invoke("show", FAILED, "--out", "x.html").exit_code == 2


def test_show_a_study_with_its_deliveries_and_timeline(worklist: Worklist) -> None:
    fill(worklist)
    text = invoke("show", DEAD).stdout
    assert "out of resources" in text
    kinds = [one["record"] for one in records("show", DEAD)]
    assert kinds[:2] == ["job", "delivery"]
    assert set(kinds[2:]) == {"event"}
    moments = [one["at"] for one in records("show", DEAD) if one["record"] == "event"]
    assert moments == sorted(moments)
    assert "no [[pipeline]] matches" in invoke("show", UNROUTED).stdout


def test_the_timeline_is_shown_unless_it_is_not_wanted(worklist: Worklist) -> None:
    fill(worklist)
    text = invoke("show", DEAD).stdout
    assert invoke("show", DEAD, "--events").stdout == text
    assert len(invoke("show", DEAD, "--no-events").stdout.splitlines()) < len(
        text.splitlines()
    )
    kinds = {one["record"] for one in records("show", DEAD, "--no-events")}
    assert kinds == {"job", "delivery"}


def keep_instance(here: Path, worklist: Worklist, number: int) -> Path:
    """An instance of DONE that is in the store; its file."""
    store = LocalStore(here / "var" / "instances", 100)
    one = received(number, study=DONE, at=START)
    stored = store.put(one.key, [f"data set {number}".encode()])
    worklist.intake.record(replace(one, stored=stored))
    return here / "var" / "instances" / stored.location


def test_the_files_of_a_study_are_checked(here: Path, worklist: Worklist) -> None:
    whole, gone, damaged, longer = (
        keep_instance(here, worklist, number) for number in range(2, 6)
    )
    gone.unlink()
    content = damaged.read_bytes()
    damaged.chmod(0o600)
    damaged.write_bytes(content[:-1] + b"x")
    longer.chmod(0o600)
    longer.write_bytes(longer.read_bytes() + b"more")
    job_id = keep_results(here, worklist)
    found = [one for one in records("show", DONE, "--files") if one["record"] == "file"]
    states = {str(one["path"]): one["state"] for one in found}
    # The first instance of the job was never in a store.
    assert sorted(str(one["state"]) for one in found if one["job_id"] is None) == [
        "file damaged",
        "file damaged",
        "file missing",
        "file missing",
        "whole",
    ]
    assert states[str(whole)] == "whole"
    assert states[str(gone)] == "file missing"
    (longer_row,) = (one for one in found if one["path"] == str(longer))
    assert "14 bytes instead of 10" in str(longer_row["detail"])
    assert "send the instance again" in str(longer_row["detail"])
    results = [one for one in found if one["job_id"] == job_id]
    assert {one["kind"] for one in results} == {"sr", "sr-text", "sc"}
    for one in results:
        path = Path(str(one["path"]))
        assert one["state"] == "whole"
        assert 0 < int(str(one["n_bytes"])) < path.stat().st_size
    text = invoke("show", job_id, "--files").stdout
    assert f"{whole}" in text
    assert "\twhole\t" in text
    assert "file" not in {one["record"] for one in records("show", job_id)}


def test_files_that_the_retention_has_removed_are_said_to_be(
    here: Path, worklist: Worklist
) -> None:
    job_id = keep_results(here, worklist)
    worklist.upkeep.forget_files(DONE, at(60))
    found = records("show", job_id, "--files", "--no-events")
    files = [one for one in found if one["record"] == "file"]
    assert {one["state"] for one in files} == {"removed"}
    assert "2026-01-31T12:01:00" in str(files[0]["detail"])


def test_tail_prints_the_last_changes(worklist: Worklist) -> None:
    fill(worklist)
    every = records("tail", "-n", "1000")
    assert [one["seq"] for one in every] == sorted(one["seq"] for one in every)
    assert records("tail", "-n", "3") == every[-3:]
    assert records("tail", "-n", "0") == []
    failed = records("tail", "--state", "FAILED", "-n", "9")
    assert {one["study_instance_uid"] for one in failed} == {FAILED, DEAD}
    from_mr = records("tail", "--ae", "MR1", "-n", "99")
    assert {one["study_instance_uid"] for one in from_mr} == {UNROUTED, FRESH}
    later = records("tail", "--since", at(40).isoformat())
    assert {one["study_instance_uid"] for one in later} == {UNROUTED, FRESH}
    assert records("tail", "--since", "1m") == []


def test_a_line_of_tail_can_be_read(worklist: Worklist) -> None:
    fail(worklist)
    line = invoke("tail", "--state", "FAILED").stdout
    job_id = str(records("tail", "--state", "FAILED")[0]["job_id"])
    local = f"{at(11).astimezone():%Y-%m-%d %H:%M:%S}"
    words = f"  #{job_id[:8]}  FAILED      cxr attempt 1"
    assert line.startswith(local + words)
    assert line.endswith(f"st:{short_hash(FAILED)}  -> dicomnode show {job_id[:8]}\n")
    assert line.count("\n") == 1
    shown = invoke("show", job_id[:8])
    assert job_id in shown.stdout
    assert invoke("show", f"#{job_id[:8]}").stdout == shown.stdout
    assert invoke("show", "abcdef01").exit_code == 4


def test_tail_shows_identity_only_when_asked_and_notes_it(
    worklist: Worklist, here: Path
) -> None:
    fill(worklist)
    assert SECRET not in invoke("tail", "-n", "99").stdout
    assert f"{SECRET} [4711]" in invoke("tail", "-n", "99", "--phi").stdout
    (noted,) = (here / "var" / "audit").glob("*.log")
    assert FAILED in noted.read_text()
    (row,) = (one for one in records("tail", "-n", "99", "--phi") if one["seq"] == 1)
    assert row["patient_name"] == SECRET


def test_retry_of_those_with_an_error_counts_first(worklist: Worklist) -> None:
    fail(worklist)
    bury(worklist)
    counted = invoke("retry", "--state", "failed", "--dry-run")
    assert counted.stderr == "2 failed job(s)\n"
    counted = invoke("retry", "--error", "Out of resources", "--dry-run")
    assert counted.stderr == "1 failed job(s)\n"
    # Nobody is there to be asked.
    assert invoke("retry", "--error", "pixels").exit_code == 2
    done = invoke("retry", "--error", "pixels", "--yes")
    assert done.stdout.endswith("SCHEDULED\n")
    assert invoke("retry", "--state", "completed").exit_code == 2


@pytest.mark.parametrize(
    ("environ", "coloured"), [({}, True), ({"NO_COLOR": "1"}, False)]
)
def test_colours_are_for_terminals_that_want_them(
    worklist: Worklist,
    here: Path,
    environ: dict[str, str],
    coloured: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fail(worklist)
    monkeypatch.delenv("NO_COLOR", raising=False)
    said = in_terminal(here, ["tail"], {"TERM": "xterm", **environ})
    assert "FAILED" in said
    assert ("\x1b[31m" in said) is coloured


@contextmanager
def started(here: Path, *words: str) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        [sys.executable, "-m", "dicomnode", *words],
        cwd=here,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def test_tail_follows_the_feed_and_ends_quietly(worklist: Worklist, here: Path) -> None:
    worklist.intake.record(received(study=FRESH, at=at(0)))
    with started(here, "tail", "-f", "--json") as process:
        assert process.stdout is not None
        first = json.loads(process.stdout.readline())
        scheduled(worklist, study=WAITING, at=at(1))
        second = json.loads(process.stdout.readline())
        assert first["study_instance_uid"] == FRESH
        assert second["study_instance_uid"] == WAITING
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate()
        assert errors == ""
        assert process.returncode == 0


def test_tail_ends_quietly_when_its_reader_has_seen_enough(
    worklist: Worklist, here: Path
) -> None:
    worklist.intake.record(received(study=FRESH, at=at(0)))
    with started(here, "tail", "-f") as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline()
        process.stdout.close()
        scheduled(worklist, study=WAITING, at=at(1))
        assert process.wait() == 0
        assert process.stderr.read() == ""


def test_retry_revives_a_failed_job(worklist: Worklist) -> None:
    job_id = fail(worklist)
    result = invoke("retry", job_id)
    assert (result.exit_code, result.stdout) == (0, f"{job_id} SCHEDULED\n")
    (job,) = worklist.jobs.claim("w2", ["cxr"], datetime.now(UTC), 60)
    assert (job.job_id, job.attempts) == (job_id, 1)


def test_retry_revives_dead_letters(worklist: Worklist) -> None:
    job_id = bury(worklist)
    result = invoke("retry", job_id)
    assert (result.exit_code, result.stdout) == (0, f"{job_id} 1 delivery(s) PENDING\n")
    (delivery,) = worklist.outbox.due("PACS", datetime.now(UTC), 60, 9)
    assert (delivery.job_id, delivery.attempts) == (job_id, 0)


def test_retry_all_failed(worklist: Worklist) -> None:
    expected = {fail(worklist), bury(worklist)}
    done = claimed(worklist, DONE, at(30))
    worklist.jobs.finish(done, Outcome.NOT_ANALYSED, "a hand", [], at(31))
    asked = invoke("retry", "--all-failed")
    assert (asked.exit_code, "2 failed job(s)" in asked.stderr) == (2, True)
    result = invoke("retry", "--all-failed", "--yes")
    assert result.exit_code == 0
    assert {line.split()[0] for line in result.stdout.splitlines()} == expected
    assert invoke("retry", "--all-failed").stderr == "0 failed job(s)\n"


def test_retry_of_what_did_not_fail_says_so(worklist: Worklist) -> None:
    done = finished(worklist, study=DONE, at=at(0)).job_id
    failed = fail(worklist)
    result = invoke("retry", done, failed)
    assert result.exit_code == 1
    assert f"{failed} SCHEDULED" in result.stdout
    assert "a job in state COMPLETED cannot retry" in result.stderr


def in_terminal(here: Path, words: Sequence[str], environ: dict[str, str]) -> str:
    parent, child = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "dicomnode", *words],
        cwd=here,
        stdout=child,
        stderr=child,
        env=os.environ | {"PYTHONPATH": str(ROOT), "COLUMNS": "200"} | environ,
    )
    os.close(child)
    chunks = b""
    try:
        while chunk := _read(parent):
            chunks += chunk
    finally:
        os.close(parent)
        process.wait()
    return chunks.decode()


def _read(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, 65536)
    except OSError:  # the last writer has closed the terminal
        return b""


@pytest.fixture
def terminal(here: Path) -> Callable[..., str]:
    def run(*words: str, **environ: str) -> str:
        return in_terminal(here, words, {"TERM": "xterm-256color"} | environ)

    return run


def test_a_terminal_gets_a_table_with_colours_unless_refused(
    worklist: Worklist, terminal: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    fail(worklist)
    coloured = terminal("list")
    assert "received" in coloured
    assert "\x1b[31m\x1b[1mFAILED" in coloured
    plain = terminal("list", NO_COLOR="1")
    assert "FAILED" in plain
    assert "[1;31m" not in plain
    assert "\x1b[31m" not in plain
