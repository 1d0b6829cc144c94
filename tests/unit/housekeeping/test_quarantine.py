"""What was refused goes after its time, and says so."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from dicomnode.health.looking import Surroundings, set_aside
from dicomnode.housekeeping.quarantine import QuarantineKeeper
from dicomnode.store.quarantine import Quarantine

NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)


class Noon:
    def now(self) -> datetime:
        return NOW


class Noted:
    """Upkeep, as far as events of the node go."""

    def __init__(self) -> None:
        self.events: list[tuple[str, str]] = []

    def note(self, kind, detail, now):
        self.events.append((kind, detail))


@pytest.fixture
def store(tmp_path: Path) -> Path:
    folder = tmp_path / "instances" / "quarantine"
    folder.mkdir(parents=True)
    for name, days in (("old", 31), ("new", 29)):
        path = folder / f"{name}.dcm"
        path.write_bytes(b"x" * 1000)
        at = (NOW - timedelta(days=days)).timestamp()
        os.utime(path, (at, at))
    return tmp_path / "instances"


def keeper(store: Path, noted: Noted, days: float, told: list[str]) -> QuarantineKeeper:
    return QuarantineKeeper(Quarantine(store), noted, Noon(), days, told.append)


def names(store: Path) -> list[str]:
    return sorted(path.name for path in (store / "quarantine").iterdir())


def test_what_is_older_goes_with_an_event_and_an_audit_message(store):
    noted, told = Noted(), []
    chore = keeper(store, noted, 30, told)
    assert chore.run_once() == 1
    assert names(store) == ["new.dcm"]
    what = "1 refused data set(s) removed: retention.quarantine_days"
    assert noted.events == [("node quarantine empty", what)]
    assert told == [what]
    assert chore.run_once() == 0
    assert len(noted.events) == 1


def test_0_days_keeps_all_unless_a_person_wants_it_gone(store):
    noted, told = Noted(), []
    chore = keeper(store, noted, 0, told)
    assert chore.run_once() == 0
    assert len(names(store)) == 2
    assert chore.empty(0, "by ann: looked at") == 2
    assert told == ["2 refused data set(s) removed: by ann: looked at"]


def test_nothing_but_files_is_touched(store, tmp_path):
    outside = tmp_path / "outside.dcm"
    outside.write_bytes(b"x")
    os.utime(outside, (0, 0))
    (store / "quarantine" / "link.dcm").symlink_to(outside)
    (store / "quarantine" / "folder").mkdir()
    keeper(store, Noted(), 30, []).run_once()
    assert outside.exists()
    assert names(store) == ["folder", "link.dcm", "new.dcm"]


def test_a_store_without_one_has_nothing_to_remove(tmp_path):
    assert keeper(tmp_path, Noted(), 30, []).run_once() == 0
    around = Surroundings(tmp_path, "", 90, set(), 60)
    assert set_aside(around).n_files == 0


def test_its_size_is_seen(store, tmp_path):
    held = set_aside(Surroundings(tmp_path, "", 90, set(), 60))
    assert (held.n_files, held.n_bytes) == (2, 2000)
    assert "`dicomnode purge --quarantine`" in str(held)
