"""An archive's history comes in, by each of three ways, from a real Orthanc."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from dicomnode.backfiller import Backfiller, BackfillPolicy, Surroundings
from dicomnode.demo.program import wait_until
from dicomnode.domain.backfill import (
    BACKFILL_PRIORITY,
    NewBackfill,
    Retrieved,
    RunState,
)
from dicomnode.errors import ConfigError, DeliveryError
from dicomnode.processes.clock import SystemClock
from tests.conftest import unavailable
from tests.contract.worklist.making import received, some_uid
from tests.integration.backfilling import PLUGIN, WAYS, Together

pytestmark = pytest.mark.peer

HANG_SECONDS = 300
ALL = {"ModalitiesInStudy": "DX"}


@pytest.fixture(params=WAYS)
def way(request: Any) -> str:
    return str(request.param)


@pytest.fixture
def together(tmp_path: Path, require_command: Any, way: str) -> Iterator[Together]:
    require_command("Orthanc")
    if way == "dicomweb" and not PLUGIN.exists():
        unavailable("Orthanc's DICOMweb (apt install orthanc-dicomweb)")
    node = Together(tmp_path, way)
    with node.receiving():
        yield node


def backfiller(
    node: Together,
    wait: Callable[[float], bool],
    *,
    in_flight: int = 8,
    has_room: Callable[[], bool] = lambda: True,
    limit: int = 0,
) -> Backfiller:
    clock, rows = SystemClock(), node.worklist.backfills
    new = NewBackfill("b1" + some_uid()[-4:], "ARCHIVE", ALL, limit)
    backfill = rows.start(new, "me", clock.now(), "tester")
    policy = BackfillPolicy(in_flight, 100, 0.01, (0.01,))
    around = Surroundings(wait, has_room, clock, "me")
    return Backfiller(backfill, node.scu(), rows, node.worklist.desk, policy, around)


def test_history_comes_in_and_live_studies_pass(together: Together) -> None:
    together.open_archive()
    studies = together.fill(4, n_instances=2)
    most: list[int] = []
    room = iter([False, False])
    order: list[int] = []

    def wait(seconds: float) -> bool:
        counts = Counter(together.states().values())
        most.append(counts["ASKED"] + counts["RECEIVED"])
        if seconds and most[-1] == 2:
            # A live study that comes last is analysed first.
            live = received(study=some_uid())
            together.worklist.intake.record(live)
            uid, now = live.key.study_instance_uid, SystemClock().now()
            together.worklist.desk.force_complete(uid, now)
            order.extend(job.priority for job in together.work())
        return False

    one = backfiller(together, wait, in_flight=2, has_room=lambda: next(room, True))
    assert one.run() is RunState.COMPLETED
    assert together.states() == dict.fromkeys(studies, "ANALYSED")
    assert max(most) == 2
    assert order[:3] == [0, BACKFILL_PRIORITY, BACKFILL_PRIORITY]
    assert {row["n_instances"] for row in together.worklist.views.worklist()
            if row["study_instance_uid"] in studies} == {2}  # fmt: skip
    kinds = Counter(one["kind"] for one in together.worklist.views.events())
    assert (kinds["backfill ask"], kinds["backfill analyse"]) == (4, 4)
    # Once more: nothing is asked for that the node has analysed.
    n_before = len(together.worklist.views.associations())
    assert backfiller(together, wait).run() is RunState.COMPLETED
    row = together.row()
    assert (row["n_found"], row["n_skipped"], row["n_failed"]) == (4, 4, 0)
    assert len(together.worklist.views.associations()) == n_before


def test_an_archive_that_goes_away_is_waited_for(together: Together) -> None:
    together.open_archive()
    together.fill(3)
    is_open = True

    def wait(_seconds: float) -> bool:
        nonlocal is_open
        counts = Counter(together.states().values())
        put_back = [
            one for one in together.worklist.views.events()
            if one["kind"] == "backfill put back"
        ]  # fmt: skip
        if counts["RECEIVED"] + counts["ANALYSED"] == 1 and is_open and not put_back:
            together.close_archive()
            is_open = False
        elif put_back and not is_open:
            together.open_archive()
            is_open = True
        together.work()
        return False

    assert backfiller(together, wait).run() is RunState.COMPLETED
    assert Counter(together.states().values()) == {"ANALYSED": 3}
    assert together.n_analysed == 3
    events = together.worklist.views.events(limit=10_000)
    [first, *_] = [one for one in events if one["kind"] == "backfill put back"]
    told = "check dicomweb_url" if together.way == "dicomweb" else "check host, port"
    assert told in first["detail"]


def test_a_pause_asks_for_nothing_until_it_goes_on(together: Together) -> None:
    together.open_archive()
    together.fill(3)
    rows, clock = together.worklist.backfills, SystemClock()
    seen: list[int] = []

    def wait(_seconds: float) -> bool:
        row = together.row()
        backfill_id = str(row["backfill_id"])
        came = 3 - int(str(row["n_waiting"])) if row["n_found"] else 0
        if came == 1 and not seen:
            assert rows.pause(backfill_id, clock.now(), "tester")
            assert not rows.pause(backfill_id, clock.now(), "tester")
        if rows.is_paused(backfill_id):
            seen.append(came)
            if len(seen) > 20:
                assert rows.go_on(backfill_id, clock.now(), "tester")
        together.work()
        return False

    assert backfiller(together, wait).run() is RunState.COMPLETED
    assert set(seen) == {1}
    assert not rows.pause(str(together.row()["backfill_id"]), clock.now(), "tester")
    assert Counter(together.states().values()) == {"ANALYSED": 3}


def test_stop_leaves_the_next_study_alone(together: Together) -> None:
    together.open_archive()
    together.fill(3)
    rows = together.worklist.backfills

    def wait(_seconds: float) -> bool:
        if "RECEIVED" in together.states().values():
            backfill_id = str(together.row()["backfill_id"])
            assert rows.stop(backfill_id, SystemClock().now(), "tester")
        return False

    assert backfiller(together, wait).run() is RunState.STOPPED
    assert Counter(together.states().values()) == {"RECEIVED": 1, "FOUND": 2}
    assert not rows.stop(str(together.row()["backfill_id"]), SystemClock().now(), "")


@pytest.mark.parametrize("way", ["c-move"])
def test_an_archive_that_does_not_know_us_says_so(together: Together) -> None:
    together.open_archive(ae_title="ANOTHER")
    [study] = together.fill(1)
    one = backfiller(together, lambda _seconds: False)
    assert one.run() is RunState.COMPLETED
    [failed] = together.worklist.views.backfill_studies("FAILED")
    assert (failed["study_instance_uid"], failed["attempts"]) == (study, 3)
    assert "our AE title" in failed["reason"]
    # One that says so at once is not asked for every other study (PS3.4 Table C.4-2).
    knows_no_one = Retrieved(status=0xA801)
    one._archive.retrieve = lambda *_: knows_no_one  # type: ignore[method-assign]
    rows, now = together.worklist.backfills, SystemClock().now()
    rows.take(one._id, "me", now, "tester")
    with pytest.raises(DeliveryError, match="our AE title as a destination"):
        one.run()
    assert together.row()["state"] == "STOPPED"
    assert together.states() == {study: "FOUND"}


def test_killed_and_resumed_from_the_command_line(together: Together) -> None:
    together.open_archive()
    studies = together.fill(5)
    together.configure(in_flight=2)
    words = ("backfill", "--from", "ARCHIVE", "--query", "ModalitiesInStudy=DX")
    dry = together.cli(*words, "--dry-run", "--limit", "4")
    assert dry.stdout.startswith("4 studies, 4 instances"), dry.stderr
    with together.program(*words) as killed:

        def is_amid() -> bool:
            # The trail is written beside the work, a moment later.
            asked = 'originalText="Query"' in trail(together)
            return asked and Counter(together.states().values())["RECEIVED"] == 2

        assert wait_until(is_amid, killed.check, HANG_SECONDS)
        killed._process.kill()  # type: ignore[union-attr]
        killed._process.wait()  # type: ignore[union-attr]
    [row] = together.printed("backfill", "status", "--json")
    assert (row["state"], row["n_received"], row["n_waiting"]) == ("RUNNING", 2, 3)
    with together.program("backfill", "--resume", str(row["backfill_id"])) as again:

        def all_analysed() -> bool:
            together.work()
            return together.row()["state"] == "COMPLETED"

        assert wait_until(all_analysed, lambda: None, HANG_SECONDS), again.tail()
    assert together.states() == dict.fromkeys(studies, "ANALYSED")
    assert trail(together).count('originalText="Query"') == 1
    if together.way != "c-move":  # else the receiver's own trail has it
        assert trail(together).count('originalText="DICOM Instances Transferred"') >= 3
    # Nothing twice: one job and one revision for each.
    assert together.n_analysed == len(together.worklist.views.worklist()) == 5
    refused = together.cli("backfill", "stop", "nothere")
    assert refused.returncode == 4
    assert "backfill status" in refused.stderr


def trail(together: Together) -> str:
    """All that the audit trail has by now."""
    folder = together.folder / "var" / "audit"
    return "".join(path.read_text() for path in sorted(folder.glob("*.log")))


def test_a_query_that_is_none_is_refused(together: Together) -> None:
    for query, told in (
        ({"Modaliti": "DX"}, "no attribute"),
        ({"StudyDate": "2025-2026"}, "names no days"),
        ({"PixelData": "x"}, "no attribute"),
    ):
        with pytest.raises(ConfigError, match=told):
            next(together.scu().find(query))
