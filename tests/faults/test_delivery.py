"""Faults 44 to 49: what destinations do to us, on real associations."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydicom import dcmread
from pynetdicom.dul import DULServiceProvider
from pynetdicom.pdu_primitives import A_RELEASE

from dicomnode.domain.commitment import CommitmentAnswer, FailureReason
from tests.integration.delivering import (
    DELAYS,
    OVERDUE_SECONDS,
    Desk,
    delivering,
    our_receiver,
)
from tests.integration.fake_pacs import (
    BASIC_TEXT,
    CAPTURE,
    COMPREHENSIVE,
    ENHANCED,
    EVERYTHING,
    HANG_SECONDS,
    FakePacs,
    on_the_same_association,
)


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    with delivering(tmp_path) as made:
        yield made


# 44: refuses the association (each reason), or the SR class


@pytest.mark.parametrize(
    ("rejection", "remedy"),
    [
        ((1, 1, 1), "read its log"),
        ((1, 1, 2), "read its log"),
        ((1, 1, 3), "add DICOMNODE to its AE list"),
        ((1, 1, 7), "correct destination.ae_title"),
        ((1, 2, 1), "we try again"),
        ((1, 2, 2), "read its log"),
        ((2, 3, 1), "we try again"),
        ((2, 3, 2), "raise it there"),
    ],
)
def test_44_a_refused_association_is_tried_again_until_it_is_not(
    desk: Desk, rejection: tuple[int, int, int], remedy: str
) -> None:
    desk.finished(["sr"])
    pacs = FakePacs(rejection=rejection)
    with pacs.running():
        courier = desk.courier(pacs)
        courier.run_once()
        assert set(desk.states().values()) == {"PENDING"}
        error = str(desk.rows()["sr"]["error"])
        assert remedy in error
        pacs.rejection = None
        assert courier.run_once() == 0
        desk.clock.move(DELAYS[0])
        assert courier.run_once() == 1, "one result tries it for all"
        assert courier.run_once() == 1, "then the others follow at once"
    assert set(desk.states().values()) == {"SENT"}
    assert len(pacs.stored) == 2


@pytest.mark.parametrize(
    ("profile", "accepts", "used"),
    [
        ("comprehensive-3d", EVERYTHING, "comprehensive-3d"),
        ("comprehensive-3d", (COMPREHENSIVE, BASIC_TEXT), "comprehensive"),
        ("comprehensive-3d", (ENHANCED, BASIC_TEXT), "enhanced"),
        ("comprehensive", (ENHANCED, BASIC_TEXT), "enhanced"),
    ],
)
def test_44_a_refused_sr_class_falls_back_to_the_next_that_is_accepted(
    desk: Desk, profile: str, accepts: tuple[str, ...], used: str
) -> None:
    desk.finished(["sr"], profile)
    pacs = FakePacs(accepts)
    with pacs.running():
        courier = desk.courier(pacs)
        while courier.run_once():
            pass
    row = desk.rows()["sr"]
    assert (row["state"], row["profile_used"]) == ("SENT", used)
    there = pacs.stored[str(row["sop_instance_uid"])]
    [first] = [one for one in pacs.stored.values() if one.SOPClassUID != BASIC_TEXT]
    assert there == first
    assert there.ContentSequence[0].ConceptNameCodeSequence[0].CodeValue == "121049"
    n_steps = desk.events().count("delivery fall back")
    assert n_steps == EVERYTHING.index(there.SOPClassUID) - EVERYTHING.index(
        {"comprehensive-3d": EVERYTHING[0], "comprehensive": COMPREHENSIVE}[profile]
    )


def test_44_what_is_fallen_back_to_is_kept_and_sent_again_as_it_is(desk: Desk) -> None:
    job = desk.finished(["sr"])
    pacs = FakePacs((ENHANCED, BASIC_TEXT))
    with pacs.running():
        courier = desk.courier(pacs)
        while courier.run_once():
            pass
        first = dict(pacs.stored)
        assert desk.worklist.desk.resend_deliveries(job.job_id, desk.clock.now()) == 2
        while courier.run_once():
            pass
    assert pacs.stored == first
    assert desk.events().count("delivery fall back") == 1
    kept = [dcmread(desk.results._root / place) for place in desk.results.locations()]
    assert {str(one.SOPClassUID) for one in kept} == {
        COMPREHENSIVE,
        ENHANCED,
        BASIC_TEXT,
    }


@pytest.mark.parametrize(
    ("accepts", "states", "used"),
    [
        (
            (BASIC_TEXT, CAPTURE),
            {"sr": "CANCELED", "sr-text": "SENT", "sc": "SENT"},
            {"sr": "basic-text", "sr-text": "basic-text", "sc": "secondary-capture"},
        ),
        (
            (CAPTURE,),
            {"sr": "CANCELED", "sr-text": "CANCELED", "sc": "SENT"},
            dict.fromkeys(("sr", "sr-text", "sc"), "secondary-capture"),
        ),
    ],
)
def test_44_a_companion_carries_the_report_where_no_profile_is_accepted(
    desk: Desk,
    accepts: tuple[str, ...],
    states: dict[str, str],
    used: dict[str, str],
) -> None:
    desk.finished(["sr", "sc"], findings="positive")
    pacs = FakePacs(accepts)
    with pacs.running():
        courier = desk.courier(pacs)
        while courier.run_once():
            pass
    assert desk.states() == states
    found = {kind: row["profile_used"] for kind, row in desk.rows().items()}
    assert found == used
    assert "carries the report" in str(desk.rows()["sr"]["error"])


@pytest.mark.parametrize("accepts", [(), ("1.2.840.10008.5.1.4.1.1.2",)])
def test_44_a_destination_that_accepts_nothing_is_a_dead_letter_with_remedy(
    desk: Desk, accepts: tuple[str, ...]
) -> None:
    desk.finished(["sr", "sc"], findings="positive")
    pacs = FakePacs(accepts, commitment=False, find=False)
    with pacs.running():
        courier = desk.courier(pacs)
        while courier.run_once():
            pass
    assert "FAILED" in desk.states().values()
    assert "SENT" not in desk.states().values()
    failed = [one for one in desk.rows().values() if one["state"] == "FAILED"]
    for one in failed:
        assert one["status"] == 0x0122
        assert "enable it there or choose another" in str(one["error"])


# 45: 0xA700, 0xA900, 0xC000, a warning 0xB000


@pytest.mark.parametrize(
    ("status", "state"),
    [(0xA700, "PENDING"), (0xA900, "FAILED"), (0xC000, "FAILED"), (0xB000, "SENT")],
)
def test_45_the_status_decides_and_is_kept(desk: Desk, status: int, state: str) -> None:
    desk.finished(["sr"], "basic-text")
    pacs = FakePacs(on_store=lambda _event: status)
    with pacs.running():
        courier = desk.courier(pacs)
        courier.run_once()
        row = desk.row()
        assert (row["state"], row["status"]) == (state, status)
        if state != "SENT":
            assert f"0x{status:04X}" in str(row["error"])
        pacs.on_store = lambda _event: 0x0000
        desk.clock.move(DELAYS[0])
        courier.run_once()
    assert desk.row()["state"] == ("SENT" if state == "PENDING" else state)


# 46: Success, and then it is lost


def test_46_storage_commitment_finds_out_and_it_is_sent_again(desk: Desk) -> None:
    desk.finished(["sr"], "basic-text")
    pacs = FakePacs(answers=on_the_same_association)
    with pacs.running():
        courier, confirmer = desk.courier(pacs), desk.confirmer(pacs)
        courier.run_once()
        pacs.stored.clear()
        assert confirmer.run_once() == 1
        assert confirmer.run_once() == 1
        row = desk.row()
        assert (row["state"], row["transaction_uid"]) == ("PENDING", None)
        assert "0x0112" in str(row["error"])
        desk.clock.move(DELAYS[0])
        courier.run_once()
        confirmer.run_once()
    assert desk.row()["state"] == "COMMITTED"
    assert (pacs.n_stores, len(pacs.stored)) == (2, 1)
    assert desk.events().count("delivery lose") == 1


def test_46_c_find_finds_out_where_no_commitment_is_offered(desk: Desk) -> None:
    desk.finished(["sr"], "basic-text")
    pacs = FakePacs(commitment=False)
    with pacs.running():
        courier, confirmer = desk.courier(pacs), desk.confirmer(pacs)
        courier.run_once()
        pacs.stored.clear()
        confirmer.run_once()
        assert desk.row()["state"] == "SENT"
        assert confirmer.run_once() == 0
        desk.clock.move(OVERDUE_SECONDS)
        assert confirmer.run_once() == 1
        assert desk.row()["state"] == "PENDING"
        desk.clock.move(DELAYS[0])
        courier.run_once()
        confirmer.run_once()
        desk.clock.move(OVERDUE_SECONDS)
        confirmer.run_once()
    row = desk.row()
    assert (row["state"], row["check_at"]) == ("SENT", None)
    assert row["verified_at"]


def test_46_a_destination_that_loses_everything_is_rejected_in_the_end(
    desk: Desk,
) -> None:
    desk.finished(["sr"], "basic-text")
    pacs = FakePacs(commitment=False, on_stored=lambda _event: pacs.stored.clear())
    with pacs.running():
        courier, confirmer = desk.courier(pacs), desk.confirmer(pacs)
        for _ in range(3 * len(DELAYS) + 3):
            courier.run_once()
            confirmer.run_once()
            desk.clock.move(OVERDUE_SECONDS)
    row = desk.row()
    assert (row["state"], pacs.n_stores) == ("REJECTED", len(DELAYS) + 1)
    assert "C-FIND; look into its log" in str(row["error"])


# 47: the line is cut before or after the response


@pytest.mark.parametrize("kept", [False, True])
def test_47_a_line_that_is_cut_costs_a_second_sending_and_no_second_object(
    desk: Desk, kept: bool
) -> None:
    desk.finished(["sr"], "basic-text")

    def cut(event: object) -> None:
        event.assoc.dul.socket.close()

    def cut_before(event: object) -> int:
        cut(event)
        return 0xC000

    pacs = FakePacs()
    if kept:
        pacs.on_stored = cut
    else:
        pacs.on_store = cut_before
    with pacs.running():
        courier = desk.courier(pacs)
        courier.run_once()
        row = desk.row()
        assert (row["state"], row["status"], len(pacs.stored)) == (
            "PENDING",
            None,
            kept,
        )
        pacs.on_store, pacs.on_stored = (lambda _e: 0x0000), (lambda _e: None)
        desk.clock.move(DELAYS[0])
        courier.run_once()
    assert desk.row()["state"] == "SENT"
    assert list(pacs.stored) == [desk.row()["sop_instance_uid"]]
    assert pacs.n_stores == 2


def test_47_a_deliverer_that_is_killed_after_the_answer_sends_again(
    desk: Desk,
) -> None:
    desk.finished(["sr"], "basic-text")
    pacs = FakePacs()
    with pacs.running():
        courier = desk.courier(pacs)
        usual, courier._note_accepted = courier._note_accepted, lambda *_: None
        courier.run_once()
        assert (desk.row()["state"], len(pacs.stored)) == ("PENDING", 1)
        courier._note_accepted = usual
        assert courier.run_once() == 0, "the claim protects it"
        desk.clock.move(300)
        courier.run_once()
    assert (desk.row()["state"], len(pacs.stored), pacs.n_stores) == ("SENT", 1, 2)


# 48: very slow, or accepts and never answers


def test_48_a_silent_destination_times_out_and_holds_up_no_other(desk: Desk) -> None:
    desk.finished(["sr"], "basic-text", destinations=("SLOW", "PACS"))
    go_on, asked = threading.Event(), threading.Event()

    def hang(_event: object) -> int:
        asked.set()
        go_on.wait(HANG_SECONDS)
        return 0x0000

    slow, quick = FakePacs(on_store=hang), FakePacs()
    with slow.running(), quick.running():
        courier = desk.courier(slow, "SLOW", timeout_seconds=2)
        thread = threading.Thread(target=courier.run_once)
        thread.start()
        assert asked.wait(HANG_SECONDS)
        desk.courier(quick).run_once()
        rows = {d["destination"]: d for d in desk.worklist.views.deliveries()}
        assert (rows["PACS"]["state"], rows["SLOW"]["state"]) == ("SENT", "PENDING")
        thread.join()
        go_on.set()
    rows = {d["destination"]: d for d in desk.worklist.views.deliveries()}
    assert (rows["SLOW"]["state"], rows["SLOW"]["attempts"]) == ("PENDING", 1)
    assert "timed out" in str(rows["SLOW"]["error"])


# 49: the answer never comes, late, on a new association, twice, names a failure


def test_49_an_answer_on_the_same_association_commits(desk: Desk) -> None:
    desk.finished(["sr"])
    pacs = FakePacs(answers=on_the_same_association)
    with pacs.running():
        desk.courier(pacs).run_once()
        assert desk.confirmer(pacs).run_once() == 2
    assert set(desk.states().values()) == {"COMMITTED"}
    assert pacs.taken == [0x0000]
    [request] = pacs.requests
    assert {one.sop_instance_uid for one in request.instances} == set(pacs.stored)


def test_49_our_answer_to_a_report_goes_out_before_our_release(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.finished(["sr"], "basic-text")
    pacs = FakePacs(answers=on_the_same_association)
    released, queued = threading.Event(), DULServiceProvider.send_pdu

    def slow(self: DULServiceProvider, primitive: object) -> None:
        """Our answers dawdle: long enough for a release that does not wait."""
        is_ours = self.assoc.is_requestor and self.assoc.ae.ae_title == "DICOMNODE"
        if isinstance(primitive, A_RELEASE):
            released.set()
        elif is_ours and threading.current_thread() is not threading.main_thread():
            released.wait(0.5)
        queued(self, primitive)

    with pacs.running():
        desk.courier(pacs).run_once()
        released.clear()
        monkeypatch.setattr(DULServiceProvider, "send_pdu", slow)
        desk.confirmer(pacs).run_once()
    assert desk.row()["state"] == "COMMITTED"
    assert pacs.taken == [0x0000]


def test_49_an_answer_on_a_new_association_commits(desk: Desk, tmp_path: Path) -> None:
    desk.finished(["sr"])
    pacs = FakePacs()
    with pacs.running(), our_receiver(desk, tmp_path) as receiver:
        desk.courier(pacs).run_once()
        desk.confirmer(pacs, linger_seconds=0).run_once()
        assert set(desk.states().values()) == {"SENT"}
        answer = pacs.answer_to(pacs.requests[0])
        assert pacs.tell(receiver.port, answer) == 0x0000
        assert set(desk.states().values()) == {"COMMITTED"}
        committed = desk.events().count("delivery commit")
        assert pacs.tell(receiver.port, answer) == 0x0000, "twice is no failure"
    assert desk.events().count("delivery commit") == committed == 2


def test_49_an_answer_to_nothing_we_asked_is_refused(
    desk: Desk, tmp_path: Path
) -> None:
    desk.finished(["sr"])
    pacs = FakePacs()
    with pacs.running(), our_receiver(desk, tmp_path) as receiver:
        desk.courier(pacs).run_once()
        desk.confirmer(pacs, linger_seconds=0).run_once()
        asked = pacs.requests[0]
        stray = CommitmentAnswer("2.25.1", asked.instances)
        assert pacs.tell(receiver.port, stray) == 0x0115
        assert pacs.tell(receiver.port, stray, calling="STRANGER") is None
    assert set(desk.states().values()) == {"SENT"}


def test_49_no_answer_in_time_is_looked_for_and_counts_when_it_comes(
    desk: Desk, tmp_path: Path
) -> None:
    desk.finished(["sr"], "basic-text")
    pacs = FakePacs()
    with pacs.running(), our_receiver(desk, tmp_path) as receiver:
        desk.courier(pacs).run_once()
        confirmer = desk.confirmer(pacs, linger_seconds=0)
        confirmer.run_once()
        desk.clock.move(OVERDUE_SECONDS)
        assert confirmer.run_once() == 1
        row = desk.row()
        assert (row["state"], row["check_at"]) == ("SENT", None)
        assert row["verified_at"]
        answer = pacs.answer_to(pacs.requests[0])
        assert pacs.tell(receiver.port, answer) == 0x0000
    assert desk.row()["state"] == "COMMITTED"


def test_49_no_answer_where_a_promise_is_required_is_asked_again_then_rejected(
    desk: Desk,
) -> None:
    desk.finished(["sr"], "basic-text")
    pacs = FakePacs()
    with pacs.running():
        desk.courier(pacs).run_once()
        confirmer = desk.confirmer(pacs, required=True, linger_seconds=0)
        for _ in range(len(DELAYS) + 1):
            assert desk.row()["state"] == "SENT"
            assert confirmer.run_once() == 1
            desk.clock.move(OVERDUE_SECONDS)
            assert confirmer.run_once() == 1
            desk.clock.move(DELAYS[-1])
    row = desk.row()
    assert (row["state"], len(pacs.requests)) == ("REJECTED", len(DELAYS) + 1)
    assert "no answer to the request for storage commitment" in str(row["error"])
    assert len({one.transaction_uid for one in pacs.requests}) == len(DELAYS) + 1


def test_49_a_promise_that_is_required_and_not_offered_is_rejected_with_remedy(
    desk: Desk,
) -> None:
    desk.finished(["sr"], "basic-text")
    pacs = FakePacs(commitment=False, find=False)
    with pacs.running():
        desk.courier(pacs).run_once()
        confirmer = desk.confirmer(pacs, required=True)
        for _ in range(len(DELAYS) + 1):
            confirmer.run_once()
            desk.clock.move(DELAYS[-1])
    row = desk.row()
    assert row["state"] == "REJECTED"
    assert 'set storage_commitment = "auto"' in str(row["error"])


def test_49_a_destination_that_offers_nothing_is_left_at_sent(desk: Desk) -> None:
    desk.finished(["sr"], "basic-text")
    pacs = FakePacs(commitment=False, find=False)
    with pacs.running():
        desk.courier(pacs).run_once()
        desk.confirmer(pacs).run_once()
    row = desk.row()
    assert (row["state"], row["check_at"], row["error"]) == ("SENT", None, "")


def test_49_a_refused_request_is_looked_for_instead(desk: Desk) -> None:
    desk.finished(["sr"], "basic-text")
    pacs = FakePacs(action_status=0x0213)
    with pacs.running():
        desk.courier(pacs).run_once()
        confirmer = desk.confirmer(pacs)
        confirmer.run_once()
        desk.clock.move(OVERDUE_SECONDS)
        confirmer.run_once()
    row = desk.row()
    assert (row["state"], row["check_at"]) == ("SENT", None)
    assert row["verified_at"]


def test_49_a_named_failure_is_sent_again_with_a_limit(desk: Desk) -> None:
    desk.finished(["sr"], "basic-text")
    pacs = FakePacs(
        answers=on_the_same_association, on_stored=lambda _event: pacs.stored.clear()
    )
    with pacs.running():
        courier, confirmer = desk.courier(pacs), desk.confirmer(pacs)
        for _ in range(2 * len(DELAYS) + 2):
            courier.run_once()
            confirmer.run_once()
            confirmer.run_once()
            desk.clock.move(DELAYS[-1])
    row = desk.row()
    assert (row["state"], pacs.n_stores) == ("REJECTED", len(DELAYS) + 1)
    assert f"0x{FailureReason.NO_SUCH_INSTANCE:04X}" in str(row["error"])
    assert desk.events().count("delivery lose") == len(DELAYS)


def test_49_a_destination_that_is_down_is_asked_when_it_is_back(desk: Desk) -> None:
    desk.finished(["sr"], "basic-text")
    pacs = FakePacs(answers=on_the_same_association)
    with pacs.running():
        desk.courier(pacs).run_once()
        confirmer = desk.confirmer(pacs)
    confirmer.run_once()
    assert desk.row()["state"] == "SENT"
    assert confirmer.run_once() == 0
    with pacs.running():
        desk.clock.move(DELAYS[0])
        desk.confirmer(pacs).run_once()
    assert desk.row()["state"] == "COMMITTED"
