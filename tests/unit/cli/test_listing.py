"""The worklist on a terminal of 80 columns."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from dicomnode.cli import listing

NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)
UID = "2.25.161828574937672356914202834795402042592"


def row(**values: object) -> dict[str, Any]:
    blank = dict.fromkeys(("pipeline", "job_id", "job_state", "outcome", "held_at"))
    return {
        **blank,
        "received_at": NOW.isoformat(),
        "study_instance_uid": UID,
        "calling_ae_title": "CR1",
        "modality": "DX",
        "n_instances": 2,
        "study_state": "ROUTED",
        "error": "",
        "reason": "",
        **values,
    }


def job(state: str, **values: object) -> dict[str, Any]:
    return row(job_id="8ce4b048b0f55f80", pipeline="cxr-qc", job_state=state, **values)


def done(outcome: str, **values: object) -> dict[str, Any]:
    return job("COMPLETED", outcome=outcome, **values)


def shown(*rows: dict[str, Any], width: int = 80) -> list[str]:
    return list(listing.lines(rows, NOW, width))


def test_a_job_is_one_line_with_what_came_of_it() -> None:
    head, negative, refused = shown(
        done("ANALYSED"), done("NOT_ANALYSED", reason="body part HAND; send a chest")
    )
    assert " ".join(head.split()) == "received sender mod img job pipeline state why"
    assert " ".join(negative.split()[1:]) == "CR1 DX 2 #8ce4b048 cxr-qc ANALYSED"
    assert refused.split()[6] == "NOT_ANALYSED"
    assert refused.endswith("NOT_ANALYSED  body part HAND")


def test_a_study_without_a_job_is_named_whole() -> None:
    _, line, uid = shown(row(study_state="NOT_ROUTED", reason="no pipeline matches"))
    assert line.endswith("NOT_ROUTED  no pipeline matches")
    assert uid.strip() == UID
    *_, why, uid = shown(row(study_state="NOT_ROUTED", reason="word " * 9 + "; act"))
    assert (why.strip(), uid.strip()) == (" ".join(["word"] * 9), UID)


def test_a_failed_job_says_why_and_no_line_is_longer_than_the_terminal() -> None:
    why = "the network ran out of memory on an image of 5000 x 5000 pixels; retry it"
    for width in (70, 80, 100):
        lines = shown(job("FAILED", error=why), done("ANALYSED"), width=width)
        assert max(map(len, lines)) <= width
        assert lines[1].endswith("FAILED")
        assert lines[2].startswith("    the network ran out of memory on an image")
        assert lines[2].endswith("5000 pixels")
    assert shown(job("FAILED", error=why), width=200)[1].endswith("5000 pixels")
    cut = shown(job("FAILED", error="word " * 40), width=80)[2]
    assert (len(cut), cut[-1]) == (80, "…")


def test_the_day_is_told_when_it_is_not_today_and_a_hold_too() -> None:
    _, line = shown(
        job(
            "SCHEDULED",
            held_at="now",
            received_at=(NOW - timedelta(days=2)).isoformat(),
        )
    )
    assert line.startswith("2026-01-29 ")
    assert "SCHEDULED, held" in line


def test_nothing_of_a_sender_acts_on_the_terminal() -> None:
    assert "\x1b" not in "".join(shown(row(calling_ae_title="\x1b[31mX")))
