"""Faults 1 to 4, 7, 27 and 52: what was answered survives, proved from outside.

Small runs of the programs beside this file; `make faults` runs them in full.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable

import pytest

from tests.conftest import unavailable

pytestmark = pytest.mark.peer

HANG_SECONDS = 500
Require = Callable[[str], str]
Figures = dict[str, object]
STORE_CALLS = "write,fsync,renameat,pwrite64,fdatasync,sendto"


def run(program: str, *options: str) -> list[Figures]:
    """Each line of figures that a program of this folder prints."""
    done = subprocess.run(
        [sys.executable, "-m", f"tests.faults.{program}", *options],
        capture_output=True,
        text=True,
        timeout=HANG_SECONDS,
    )
    lines = [line for line in done.stdout.splitlines() if line.startswith("{")]
    assert lines, done.stderr
    return [json.loads(line) for line in lines]


@pytest.fixture(scope="module")
def tracer(require_command: Require) -> None:
    """strace that may trace, and DCMTK."""
    for name in ("strace", "storescu", "storescp"):
        require_command(name)
    tried = subprocess.run(["strace", "-o", "/dev/null", "true"], capture_output=True)
    if tried.returncode != 0:
        unavailable("strace may not trace here (ptrace is forbidden)")


@pytest.fixture(scope="module")
def root() -> None:
    """Loop devices and mounts of our own."""
    if os.geteuid() != 0:
        unavailable("only root can mount a file system whose power fails")
    own = ["unshare", "--mount", "--propagation", "private", "losetup", "--find"]
    if subprocess.run(own, capture_output=True).returncode != 0:
        unavailable("no loop device or no mount namespace can be had here")


@pytest.fixture(scope="module")
def killed(tracer: None) -> Figures:
    """The receiver was killed at the first calls of each kind of one C-STORE."""
    return run("everycall", "store", "--calls", STORE_CALLS, "--most", "3")[-1]


@pytest.mark.parametrize("call", ["write", "fsync"])
def test_01_a_receiver_killed_before_the_file_is_complete(
    killed: Figures, call: str
) -> None:
    assert_harmless(killed, f"KILL {call}")


@pytest.mark.parametrize("call", ["renameat", "pwrite64", "fdatasync"])
def test_02_a_receiver_killed_between_file_and_row(killed: Figures, call: str) -> None:
    assert_harmless(killed, f"KILL {call}")


def test_03_a_receiver_killed_between_row_and_answer(killed: Figures) -> None:
    assert_harmless(killed, "KILL sendto")


def assert_harmless(figures: Figures, fault: str) -> None:
    assert figures["by_call"][fault] > 0
    assert [one for one in figures["wrong"] if one.startswith(fault)] == []


def test_04_every_sync_comes_before_the_answer(tracer: None) -> None:
    """By a trace of the system calls; without any one sync it is found missing."""
    whole, *broken = run("syncs", "-n", "20", "--proof")
    assert whole["acknowledged"] == whole["durable"] == 20
    assert [one["without"] for one in broken] == ["file", "folder", "wal"]
    for one in broken:
        assert one["acknowledged"] > one["durable"] == 0, one


def test_04_nothing_answered_is_lost_with_the_power(
    tracer: None, root: None, require_command: Require
) -> None:
    """By the loss itself; without any one sync something is lost."""
    require_command("mkfs.ext4")
    whole, *broken = run("power", "--cycles", "6", "--proof")
    assert (whole["cycles"], whole["lost"], whole["wrong"]) == (6, 0, 0)
    assert whole["rows_without_file"] == 0
    assert whole["acknowledged"] > 0
    assert [one["without"] for one in broken] == ["file", "folder", "wal"]
    for one in broken:
        assert one["lost"] + one["wrong"] + one["rows_without_file"] > 0, one


@pytest.fixture(scope="module")
def failed(tracer: None) -> Figures:
    """The kernel answered errors at the first durable calls of one C-STORE."""
    hows = ("--how", "EIO,ENOSPC", "--calls", "fsync,renameat,pwrite64,fdatasync")
    return run("everycall", "store", *hows, "--most", "2")[-1]


@pytest.mark.parametrize("error", ["EIO", "ENOSPC"])
@pytest.mark.parametrize("call", ["fsync", "renameat", "pwrite64", "fdatasync"])
def test_07_a_call_that_fails_gives_no_success_and_leaves_nothing(
    failed: Figures, error: str, call: str
) -> None:
    assert_harmless(failed, f"{error} {call}")


def test_27_a_keeper_killed_as_it_passes_a_study_on_schedules_one_job(
    tracer: None,
) -> None:
    figures = run("everycall", "study", "--calls", "pwrite64,fdatasync", "--most", "2")
    for call in ("pwrite64", "fdatasync"):
        assert_harmless(figures[0], f"KILL {call}")


def test_27_a_worker_killed_at_its_syncs_leaves_one_result(tracer: None) -> None:
    figures = run("everycall", "job", "--calls", "renameat,fdatasync", "--most", "2")[0]
    for call in ("renameat", "fdatasync"):
        assert_harmless(figures, f"KILL {call}")


def test_27_results_are_durable_before_a_job_completes_and_answered_before_sent(
    tracer: None,
) -> None:
    (figures,) = run("results_order")
    assert figures["results"] > 0
    assert figures["kept"] == figures["sent"] == figures["results"]
    assert figures["nothing_sent_unanswered"]


def test_47_a_deliverer_killed_at_its_syncs_sends_again(tracer: None) -> None:
    figures = run("everycall", "delivery", "--calls", "fdatasync,sendto", "--most", "3")
    for call in ("fdatasync", "sendto"):
        assert_harmless(figures[0], f"KILL {call}")


def test_52_roles_killed_or_stopped_under_load_lose_and_double_nothing(
    tracer: None, require_command: Require
) -> None:
    require_command("Orthanc")
    figures = run("crash", "--cycles", "10", "--round", "10")[-1]
    assert figures["cycles"] == 10
    assert figures["stopped_cleanly"] == 4
    assert figures["acknowledged"] > 0
    assert figures["wrong"] == []
