"""Faults 5, 26 and 57: full disks, moved clocks, two nodes on one folder."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from dicomnode.assembler import Assembler
from dicomnode.config import load
from dicomnode.domain.completion import CompletionPolicy
from dicomnode.domain.job import Outcome
from dicomnode.errors import ConfigError, LostLease, WorklistError
from dicomnode.housekeeping.clock_watch import ClockWatch
from dicomnode.processes.lock import only_one
from dicomnode.worklist import Worklist, open_worklist, upgrade
from dicomnode.worklist import sqlite as embedded
from tests.conftest import unavailable
from tests.contract.worklist.making import (
    NOON,
    claimed,
    kinds,
    new_result,
    received,
    row,
)
from tests.faults.test_durability import run
from tests.integration.delivering import MovedClock

DAY, HOUR = 86_400.0, 3_600.0
QUIET = CompletionPolicy(quiet_seconds=30)


@pytest.mark.peer
def test_05_full_disks_refuse_and_recover_by_themselves() -> None:
    own = ["unshare", "--mount", "--propagation", "private", "true"]
    if os.geteuid() != 0 or subprocess.run(own).returncode != 0:
        unavailable("only root can mount a small disk in a namespace of its own")
    (seen,) = run("fulldisk")
    assert seen == {
        "room": "0x0000",
        "too_large": "0xA700",
        "room_again": "0x0000",
        "store_full": "0xA700",
        "unfinished": 0,
        "store_has_room": "0x0000",
        "same_process": True,
        "database_full": "0x0110",
        "database_has_room": True,
    }


class TwoClocks(MovedClock):
    """A wall clock that can be moved, and one that only passes."""

    def __init__(self) -> None:
        super().__init__()
        self.passed = 0.0

    def pass_by(self, seconds: float) -> None:
        self.passed += seconds
        self.move(seconds)

    def monotonic(self) -> float:
        return self.passed


@pytest.fixture
def clock() -> TwoClocks:
    return TwoClocks()


@pytest.fixture
def worklist(tmp_path: Path) -> Iterator[Worklist]:
    url = f"sqlite:///{tmp_path / 'worklist.db'}"
    upgrade(url)
    with closing(open_worklist(url)) as opened:
        yield opened


@pytest.mark.parametrize("leap", [DAY, -HOUR, 3.0, -3.0])
def test_26_a_clock_that_leaps_is_noticed_for_as_long_as_asked(
    clock: TwoClocks, leap: float
) -> None:
    watch = ClockWatch(clock, clock.monotonic)
    clock.pass_by(3 * DAY)
    assert not watch.moved_within(30)
    clock.move(leap)
    assert watch.moved_within(30)
    clock.pass_by(29)
    assert watch.moved_within(30)
    clock.pass_by(1)
    assert not watch.moved_within(30)


def test_26_a_clock_that_drifts_is_not_moved(clock: TwoClocks) -> None:
    watch = ClockWatch(clock, clock.monotonic)
    for _ in range(100):
        clock.pass_by(60)
        clock.move(0.5)  # half a second a minute, and a leap second would be one
        assert not watch.moved_within(30)


def test_26_no_study_completes_early_because_the_clock_leaps_forward(
    worklist: Worklist, clock: TwoClocks
) -> None:
    """As the keeper does it: rest for a quiet period, then judge by the new time."""
    watch = ClockWatch(clock, clock.monotonic)
    assembler = Assembler(worklist.studies, QUIET, clock)
    worklist.intake.record(received(1, at=clock.now()))
    clock.move(DAY)
    assert watch.moved_within(QUIET.quiet_seconds)  # it rests: the study seems complete
    clock.pass_by(20)
    worklist.intake.record(received(2, at=clock.now()))
    clock.pass_by(11)
    assert not watch.moved_within(QUIET.quiet_seconds)
    assert assembler.run_once() == 0
    clock.pass_by(20)
    assert assembler.run_once() == 1
    assert row(worklist)["n_instances"] == 2


def test_26_an_hour_back_delays_a_study_and_loses_nothing(
    worklist: Worklist, clock: TwoClocks
) -> None:
    assembler = Assembler(worklist.studies, QUIET, clock)
    worklist.intake.record(received(1, at=clock.now()))
    worklist.intake.record(received(1, study="1.2.3", at=clock.now()))
    clock.move(-HOUR)
    worklist.intake.record(received(2, at=clock.now()))
    clock.pass_by(31)
    assert assembler.run_once() == 1
    assert row(worklist)["n_instances"] == 2
    # The other one, which nothing was added to, waits for the old time to come again.
    clock.pass_by(HOUR)
    assert assembler.run_once() == 1
    assert row(worklist, "1.2.3")["study_state"] == "COMPLETE"


def test_26_a_lease_that_seems_over_is_renewed_before_it_is_taken(
    worklist: Worklist, clock: TwoClocks
) -> None:
    watch = ClockWatch(clock, clock.monotonic)
    job = claimed(worklist, at=clock.now())
    clock.move(DAY)
    assert watch.moved_within(60)
    clock.pass_by(20)  # a heartbeat later
    job = worklist.jobs.renew(job, clock.now(), 60)
    clock.pass_by(41)
    assert not watch.moved_within(60)
    assert worklist.upkeep.reap(clock.now(), 3) == 0
    worklist.jobs.finish(job, Outcome.ANALYSED, "", [new_result()], clock.now())
    assert row(worklist)["job_state"] == "COMPLETED"


def test_26_a_lease_taken_all_the_same_gives_one_result(worklist: Worklist) -> None:
    """Should the keeper itself have been started after the leap."""
    first = claimed(worklist)
    later = NOON + timedelta(days=1)
    assert worklist.upkeep.reap(later, 3) == 1
    (second,) = worklist.jobs.claim("w2", ["cxr"], later, 60)
    worklist.jobs.finish(second, Outcome.ANALYSED, "", [new_result(1, "PACS")], later)
    with pytest.raises(LostLease):
        worklist.jobs.finish(first, Outcome.ANALYSED, "", [new_result()], later)
    assert kinds(worklist).count("job finish") == 1
    assert len(worklist.views.deliveries()) == 1


@pytest.mark.peer
@pytest.mark.parametrize("local", ["2026-10-25 02:30:00", "2026-03-29 03:00:01"])
def test_26_times_stay_utc_where_summer_time_begins_and_ends(
    require_command, local: str
) -> None:
    """In a real process whose clock and zone are not ours."""
    program = (
        "from dicomnode.processes.clock import SystemClock;"
        "print(SystemClock().now().isoformat())"
    )
    told = subprocess.run(
        [require_command("faketime"), local, sys.executable, "-c", program],
        env={**os.environ, "TZ": "Europe/Berlin"},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    at = datetime.fromisoformat(told.strip())
    assert at.utcoffset() == timedelta(0)
    assert at.strftime("%m-%d") == local[5:10]
    assert at.hour in (0, 1)


def test_57_a_second_supervisor_on_one_folder_is_refused(tmp_path: Path) -> None:
    config = tmp_path / "config.toml"
    config.write_text('[node]\ndata_dir = "var"\n')
    given = load(config)
    with (
        only_one(given.node.data_dir),
        pytest.raises(ConfigError, match=r"stop it first.*its own node\.data_dir"),
        only_one(given.node.data_dir),
    ):
        pass
    with only_one(given.node.data_dir):  # the lock went with its holder
        pass


@pytest.mark.parametrize("kind", ["nfs", "nfs4", "cifs", "smb3", "9p", "fuse.sshfs"])
def test_57_a_network_folder_is_refused_for_the_embedded_database(
    tmp_path: Path, kind: str
) -> None:
    mounts = tmp_path / "mounts"
    mounts.write_text(f"/dev/sda1 / ext4 rw 0 0\nserver:/x {tmp_path} {kind} rw 0 0\n")
    with pytest.raises(WorklistError, match=r"put node\.data_dir on a local disk"):
        embedded.refuse_network_folder(tmp_path / "var" / "worklist.db", mounts)
