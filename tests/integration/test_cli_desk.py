"""The admin's commands on a real database: counts before, events after."""

from __future__ import annotations

import base64
import json
import os
import pwd
import socket
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from click.testing import Result
from typer.testing import CliRunner

from dicomnode.cli import choosing
from dicomnode.cli.app import app
from dicomnode.domain.instance import InstanceKey
from dicomnode.store import LocalStore
from dicomnode.worklist import Worklist, open_worklist, upgrade
from tests.contract.worklist.making import (
    CT,
    EXPLICIT,
    SECRET,
    STUDY,
    current,
    delivered,
    finished,
    new_job,
    new_result,
    received,
    scheduled,
)
from tests.integration.audit_schema import checked

OTHER = f"{STUDY}.5"
CONFIG = """
[store]
watermark_percent = 100

[[pipeline]]
name = "cxr"
bundle = "cxr-qc"
match = {}
destinations = ["PACS"]

[[destination]]
name = "PACS"
ae_title = "PACS"
host = "127.0.0.1"
port = 4242

[keep]
reconcile_grace_seconds = 0
"""


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path / "none"))
    (tmp_path / "config.toml").write_text(CONFIG)
    return tmp_path


@pytest.fixture
def worklist(here: Path) -> Iterator[Worklist]:
    url = f"sqlite:///{here / 'var' / 'worklist.db'}"
    upgrade(url)
    with open_worklist(url) as worklist:
        yield worklist


def invoke(*words: str) -> Result:
    return CliRunner().invoke(app, list(words))


def record(*words: str) -> dict[str, object]:
    """The last line of a command with --json."""
    found: dict[str, object] = json.loads(
        invoke(*words, "--json").stdout.splitlines()[-1]
    )
    return found


def states(worklist: Worklist) -> list[str]:
    return sorted(row["job_state"] for row in worklist.views.worklist())


def last_event(worklist: Worklist) -> tuple[str, str]:
    event = worklist.views.events()[-1]
    return event["kind"], event["detail"]


def test_named_jobs_are_canceled_at_once(worklist: Worklist) -> None:
    (job,) = scheduled(worklist)
    result = invoke("cancel", job.job_id)
    assert (result.exit_code, result.stdout) == (0, f"{job.job_id} CANCELED\n")
    assert last_event(worklist) == ("job cancel", f"by {choosing.operator()}")
    again = invoke("cancel", job.job_id, "7f")
    assert again.exit_code == 4
    assert "no job 7f" in again.stderr


def test_a_bulk_act_says_how_many_and_needs_a_yes(worklist: Worklist) -> None:
    for number in range(3):
        scheduled(worklist, study=f"{STUDY}.{number}")
    scheduled(worklist, "qc", study=OTHER)
    counted = invoke("cancel", "--pipeline", "cxr", "--dry-run")
    assert (counted.exit_code, counted.stderr) == (0, "3 job(s)\n")
    asked = invoke("cancel", "--pipeline", "cxr")
    assert asked.exit_code == 2
    assert "--yes" in asked.stderr
    assert states(worklist) == ["SCHEDULED"] * 4
    assert invoke("cancel", "--pipeline", "cxr", "--yes").exit_code == 0
    assert states(worklist) == ["CANCELED"] * 3 + ["SCHEDULED"]
    assert invoke("cancel").exit_code == 2
    assert invoke("cancel", "7f", "--pipeline", "cxr").exit_code == 2


def test_hold_and_release_a_study_and_a_pipeline(worklist: Worklist) -> None:
    (job,) = scheduled(worklist)
    assert record("hold", STUDY) == {"id": STUDY, "done": "held", "error": ""}
    assert "release" in invoke("show", job.job_id).stdout
    assert record("hold", STUDY)["done"] == "was held already"
    assert record("release", STUDY)["done"] == "released"
    assert invoke("hold", "--pipeline", "cxr", "--yes").exit_code == 0
    assert worklist.jobs.claim("w1", ["cxr"], received().received_at, 60) == []
    assert invoke("release", "--ae", "CT1", "--yes").exit_code == 0
    assert invoke("release", "1.2.3").exit_code == 4
    assert len(worklist.jobs.claim("w1", ["cxr"], received().received_at, 60)) == 1


def test_the_short_number_of_a_job_is_enough(worklist: Worklist) -> None:
    (job,) = scheduled(worklist)
    short, number = job.job_id[:8], f"#{job.job_id[:10]}"
    done = invoke("hold", number)
    assert (done.exit_code, done.stdout) == (0, f"{job.job_id} held\n")
    assert invoke("release", short).stdout == f"{job.job_id} released\n"
    assert invoke("cancel", short).stdout == f"{job.job_id} CANCELED\n"
    assert invoke("retry", number).stdout == f"{job.job_id} SCHEDULED\n"
    sent = finished(worklist, new_result(1, "PACS"), study=OTHER)
    again = invoke("resend", sent.job_id[:8])
    assert again.stdout == f"{sent.job_id} 0 delivery(s) PENDING\n"
    redirected = invoke("retry", sent.job_id[:8], "--to", "PACS", "--dry-run")
    assert redirected.exit_code == 0
    for shorter in (job.job_id[:7], "0123456789abcdef"):
        unknown = invoke("cancel", shorter)
        assert unknown.exit_code == 4
        assert f"no job {shorter}" in unknown.stderr


@pytest.mark.parametrize(
    "verb", ["show", "retry", "cancel", "hold", "release", "resend"]
)
def test_a_number_that_several_jobs_begin_with_is_not_guessed(
    worklist: Worklist, verb: str
) -> None:
    ids = [f"0fe22b2f{number:024x}" for number in range(2)]
    worklist.intake.record(received())
    worklist.studies.complete(current(worklist), received().received_at)
    jobs = [replace(new_job(pipeline=one), job_id=one) for one in ids]
    worklist.studies.route(current(worklist), jobs, "", received().received_at)
    before = worklist.views.last_seq()
    asked = invoke(verb, "#0fe22b2f")
    assert asked.exit_code == 4
    assert f"several jobs begin with 0fe22b2f: {ids[0]}, {ids[1]}; name" in asked.stderr
    assert worklist.views.last_seq() == before
    assert invoke("show", ids[1][:31]).exit_code == 4
    assert ids[1] in invoke("show", ids[1]).stdout


def test_resend_to_one_destination(worklist: Worklist) -> None:
    job = finished(worklist, new_result(1, "PACS", "VNA"))
    for destination in ("PACS", "VNA"):
        for one in worklist.outbox.due(destination, job.scheduled_at, 60, 9):
            worklist.outbox.sent(one, 0, job.scheduled_at)
    result = invoke("resend", STUDY, "--to", "VNA")
    assert result.stdout == f"{job.job_id} 1 delivery(s) PENDING\n"
    rows = {one["destination"]: one["state"] for one in worklist.views.deliveries()}
    assert rows == {"PACS": "SENT", "VNA": "PENDING"}
    assert invoke("resend", "1.2.3").exit_code == 4


def test_retry_to_moves_what_waits_for_a_removed_destination(
    worklist: Worklist,
) -> None:
    finished(worklist, new_result(1, "OLD"))
    assert "wait for OLD, which is not configured" in invoke("status").stdout
    assert invoke("retry", "--to", "NOWHERE").exit_code == 2
    counted = invoke("retry", "--to", "PACS", "--dry-run")
    assert counted.stderr.splitlines() == [
        "1 for OLD now",
        "1 delivery(s) to be sent to PACS",
    ]
    done = invoke("retry", "--to", "PACS", "--yes")
    assert done.stdout == "1 delivery(s) go to PACS\n"
    assert [one["destination"] for one in worklist.views.deliveries()] == ["PACS"]


def test_retry_to_tries_a_destination_at_once_that_was_not_reached(
    worklist: Worklist,
) -> None:
    job = finished(worklist, new_result(1, "PACS"))
    day, soon = (86400,), datetime.now(UTC) - timedelta(seconds=1)
    worklist.outbox.absent("PACS", "down; start it", day, soon)
    assert worklist.outbox.due("PACS", datetime.now(UTC), 60, 9) == []
    counted = invoke("retry", "--to", "PACS", "--dry-run").stdout
    assert counted == "PACS, for which 1 result(s) wait, would be tried at once\n"
    assert worklist.outbox.due("PACS", datetime.now(UTC), 60, 9) == []
    tried = invoke("retry", "--to", "PACS")
    assert (tried.exit_code, tried.stdout) == (
        0,
        "PACS is tried at once; 1 result(s) wait for it\n",
    )
    (one,) = worklist.outbox.due("PACS", datetime.now(UTC), 60, 9)
    assert one.job_id == job.job_id
    assert last_event(worklist)[1] == f"PACS by {choosing.operator()}"


def test_pause_and_resume(worklist: Worklist) -> None:
    scheduled(worklist)
    assert invoke("pause", "--pipeline", "cxr").stdout == "cxr paused\n"
    assert invoke("pause", "--pipeline", "unknown").exit_code == 2
    assert invoke("pause", "--reason", "new GPU").stdout == "every pipeline paused\n"
    told = invoke("status")
    assert "paused     cxr" in told.stdout
    assert "new GPU; `dicomnode resume`" in told.stdout
    assert "no worker is alive" not in told.stdout
    assert invoke("resume").stdout == "2 pause(s) ended\n"
    assert invoke("resume").stdout == "nothing was paused\n"


def test_drain_waits_for_what_is_left(worklist: Worklist) -> None:
    (job,) = scheduled(worklist)
    left = invoke("drain", "--timeout", "0.01")
    assert (left.exit_code, left.stdout) == (3, "left: 1 job\n")
    assert worklist.pauses.draining()
    invoke("cancel", job.job_id)
    assert record("drain") == {
        "drained": True,
        "left": {"study": 0, "job": 0, "delivery": 0},
    }
    assert record("drain", "--no-wait")["drained"] is True


def keep(here: Path, worklist: Worklist) -> Path:
    """A received study with its file."""
    one = received()
    store = LocalStore(here / "var" / "instances", 100)
    key = InstanceKey(STUDY, f"{STUDY}.1", one.key.sop_instance_uid, CT, EXPLICIT)
    stored = store.put(key, [b"whatever"])
    worklist.intake.record(
        type(one)(
            key, stored, one.received_at, "CT1", "", "", one.attributes, one.identity
        )
    )
    return here / "var" / "instances" / stored.location


def test_purge_leaves_neither_file_nor_name(here: Path, worklist: Worklist) -> None:
    path = keep(here, worklist)
    worklist.upkeep.checkpoint()
    database = here / "var" / "worklist.db"
    assert SECRET.encode() in database.read_bytes()
    purge = ("purge", "--study", STUDY, "--reason", "ticket 4711")
    assert invoke(*purge).exit_code == 2
    assert path.exists()
    done = invoke(*purge, "--yes")
    assert (done.exit_code, done.stdout) == (0, f"{STUDY} purged: 1 file(s)\n")
    assert not path.exists()
    worklist.upkeep.checkpoint()
    assert SECRET.encode() not in database.read_bytes()
    kind, detail = last_event(worklist)
    assert kind == "study purge"
    assert detail.endswith(f"by {choosing.operator()}: ticket 4711")
    assert audited_deletions(here) == [("0", "ticket 4711")]
    assert invoke(*purge, "--yes").exit_code == 4
    assert invoke("purge", "--study", STUDY).exit_code == 2


def audited_verbs(here: Path) -> list[tuple[str, str]]:
    """Who and what of each Use of Restricted Function in the trail (PS3.15 A.5)."""
    lines = (here / "var" / "audit" / "audit.000001.log").read_text("utf-8")
    assert SECRET not in lines
    found = []
    for line in lines.splitlines():
        root = checked(line.split(" - ", 1)[1])
        kind = root.find("EventIdentification/EventTypeCode")
        assert kind is not None
        assert kind.get("csd-code") == "110132"
        _, person = root.iter("ActiveParticipant")
        assert person.get("UserName") == "sudo by ada"
        detail = root.find(".//ParticipantObjectDetail")
        assert detail is not None
        said = base64.b64decode(detail.get("value", "")).decode()
        found.append((person.get("UserID", ""), said))
    return found


def test_every_verb_is_audited_with_who_and_on_what(
    here: Path, worklist: Worklist, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Not what the environment claims: anybody may set that.
    monkeypatch.setenv("LOGNAME", "somebody-else")
    monkeypatch.setenv("SUDO_USER", "ada")
    (job,) = scheduled(worklist)
    done = finished(worklist, new_result(1, "PACS"), study=OTHER)
    assert delivered(worklist)
    verbs = [
        ("resend", done.job_id),
        ("hold", job.job_id),
        ("release", job.job_id),
        ("cancel", job.job_id),
        ("retry", job.job_id),
        ("hold", STUDY),
        ("release", STUDY),
    ]
    for words in (*verbs, ("pause",), ("resume",), ("drain", "--no-wait")):
        assert invoke(*words).exit_code == 0
    # What was refused has changed nothing.
    assert invoke("cancel", "no-such-job").exit_code == 4
    moved = ("retry", "--to", "PACS", "--from", "OLD", "--yes")
    finished(worklist, new_result(2, "OLD"), study=f"{OTHER}.6")
    assert invoke(*moved).exit_code == 0
    me = f"{pwd.getpwuid(os.getuid()).pw_name}@{socket.gethostname()}"
    everything = [(verb, "everything") for verb in ("pause", "resume", "drain")]
    assert audited_verbs(here) == [
        (me, f"{verb}: {about}")
        for verb, about in (*verbs, *everything, ("retry", "1 delivery(s) to PACS"))
    ]


def audited_deletions(here: Path) -> list[tuple[str, str]]:
    """Outcome and description of each DICOM Study Deleted in the trail (PS3.15 A.5)."""
    lines = (here / "var" / "audit" / "audit.000001.log").read_text("utf-8")
    found = []
    for line in lines.splitlines():
        root = checked(line.split(" - ", 1)[1])
        event = root.find("EventIdentification")
        assert event is not None
        (kind,) = (one.get("csd-code") for one in event.iter("EventID"))
        if kind == "110105":
            said = event.findtext("EventOutcomeDescription") or ""
            found.append((event.get("EventOutcomeIndicator", ""), said))
    return found


def test_a_purge_that_fails_is_audited_as_failed(
    here: Path, worklist: Worklist, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = keep(here, worklist)

    def broken(*_: object) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(LocalStore, "delete", broken)
    purge = ("purge", "--study", STUDY, "--reason", "ticket 4711", "--yes")
    assert invoke(*purge).exit_code == 1
    ((outcome, said),) = audited_deletions(here)
    assert outcome == "8"
    assert said.startswith("ticket 4711: ")
    assert "Input/output error" in said
    assert path.exists()


def test_reconcile_says_what_is_lost_and_status_remembers(
    here: Path, worklist: Worklist
) -> None:
    path = keep(here, worklist)
    assert invoke("reconcile").stdout.splitlines()[-1] == "balanced   0 repaired"
    assert "reconcile  balanced" in invoke("status").stdout
    path.unlink()
    lost = invoke("reconcile")
    assert lost.exit_code == 3
    assert "send the instance again from its source" in lost.stdout
    told = invoke("status")
    assert told.exit_code == 3
    assert "left 1 not accounted for" in told.stdout
    assert record("reconcile", "--repair")["balanced"] is False
    assert record("reconcile") == {
        "record": "balance",
        "balanced": True,
        "n_found": 0,
        "n_repaired": 0,
        "instances": {"waiting": 1},
        "excluded": {},
        "results": {},
        "found": {},
        "n_files": 0,
    }


def test_the_database_commands(here: Path) -> None:
    assert invoke("db", "upgrade").exit_code == 0
    made = invoke("db", "backup", "copy.db")
    assert made.exit_code == 0
    assert made.stdout.endswith("bytes, checked\n")
    assert invoke("db", "backup", "copy.db").exit_code == 1
    assert invoke("db", "restore", "copy.db").exit_code == 2
    restored = invoke("db", "restore", "copy.db", "--yes")
    assert restored.exit_code == 0
    assert "kept: " in restored.stdout
    assert invoke("db", "check").exit_code == 0
    copied = invoke("db", "copy", "sqlite:///var/worklist.db", "sqlite:///new.db")
    assert copied.exit_code == 0
    assert copied.stdout.endswith("set [database] url\n")
    assert invoke("db", "downgrade", "0001").exit_code == 2
    assert invoke("db", "downgrade", "0001", "--yes").exit_code == 0
    assert invoke("db", "check").exit_code == 3
