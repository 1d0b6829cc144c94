"""What was seen is in the report, and an error of a case is its outcome."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from dicomnode.acceptance import report
from dicomnode.acceptance.bench import Bench
from dicomnode.acceptance.case import (
    Case,
    MissedError,
    NotApplicableError,
    Outcome,
    Verdict,
    tried,
)
from dicomnode.acceptance.main import CASES
from dicomnode.acceptance.pacs import FaultyPacs
from dicomnode.acceptance.phantoms import Phantoms
from dicomnode.acceptance.wire import Address
from dicomnode.config import Config
from dicomnode.errors import Unreachable

NOW = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)
SUBJECT = report.Subject(
    NOW, "Klinik <b>", "AE@h:1", "a node", "9.8.7", "ab" * 32, ("cxr",), "ann"
)


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    """One that reaches only the network of a node that is not there."""
    return Bench(
        Config(),
        Address("NODE", "127.0.0.1", 1, "SCANNER"),
        tmp_path,
        Phantoms(tmp_path / "sent", NOW),
        FaultyPacs(tmp_path / "pacs", "PACS", 0),
        None,
        lambda: None,
        1.0,
    )


def case(run: object, needs_worklist: bool = False) -> Case:
    return Case("a-case", "A case", "this", "do that", run, needs_worklist)  # type: ignore[arg-type]


def raising(error: Exception) -> object:
    def run(_bench: Bench) -> str:
        raise error

    return run


@pytest.mark.parametrize(
    ("run", "verdict"),
    [
        (lambda _bench: "seen", Verdict.PASSED),
        (raising(MissedError("seen")), Verdict.FAILED),
        (raising(Unreachable("seen")), Verdict.FAILED),
        (raising(ConnectionResetError("seen")), Verdict.FAILED),
        (raising(NotApplicableError("seen")), Verdict.NOT_RUN),
    ],
)
def test_how_a_case_ends(bench: Bench, run: object, verdict: Verdict) -> None:
    outcome = tried(case(run), bench)
    assert (outcome.verdict, outcome.seen) == (verdict, "seen")
    assert outcome.remedy == ("do that" if verdict is Verdict.FAILED else "")


def test_what_needs_the_worklist_is_not_run_without(bench: Bench) -> None:
    outcome = tried(case(lambda _bench: "seen", needs_worklist=True), bench)
    assert outcome.verdict is Verdict.NOT_RUN


def outcomes(*verdicts: Verdict) -> list[Outcome]:
    return [
        Outcome(f"case-{n}", "T", "E", "<seen>", verdict, "", 0.1)
        for n, verdict in enumerate(verdicts)
    ]


def test_one_failure_is_no_acceptance() -> None:
    mixed = outcomes(Verdict.PASSED, Verdict.FAILED, Verdict.NOT_RUN)
    page = report.page(SUBJECT, mixed)
    assert "Not accepted: 1 of 2 cases failed" in page
    assert report.as_table(SUBJECT, mixed)["passed"] is False


def test_what_was_not_run_is_no_failure() -> None:
    good = outcomes(Verdict.PASSED, Verdict.NOT_RUN)
    assert "1 of 1 cases passed" in report.page(SUBJECT, good)
    assert report.as_table(SUBJECT, good)["passed"] is True


def test_the_page_has_what_a_site_files_and_nothing_acts_in_it() -> None:
    page = report.page(SUBJECT, outcomes(Verdict.PASSED))
    for text in ("9.8.7", "ab" * 32, "2026-03-04 05:06:07 UTC", "Signature", "cxr"):
        assert text in page
    assert "Research use only" in page
    assert "<b>" not in page
    assert "<seen>" not in page


def test_both_files_have_the_instant_in_their_name(tmp_path: Path) -> None:
    file = report.write(tmp_path / "out", SUBJECT, outcomes(Verdict.PASSED))
    assert file.name == "acceptance-20260304T050607Z.html"
    assert file.with_suffix(".json").exists()


def test_each_case_has_a_name_of_its_own_and_a_remedy() -> None:
    assert len({one.name for one in CASES}) == len(CASES)
    assert all(one.remedy and one.expected and one.title for one in CASES)
