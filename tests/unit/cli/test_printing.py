"""Rows for programs and for people."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

from dicomnode.cli import printing


def test_without_a_terminal_rows_are_tab_separated(
    capsys: pytest.CaptureFixture[str],
) -> None:
    given = [{"a": 1, "b": None, "c": "hidden"}, {"a": "two\nlines\tand tabs", "b": 2}]
    printing.rows("title", ("a", "b"), given)
    assert capsys.readouterr().out == "a\tb\n1\t\ntwo lines and tabs\t2\n"


def test_json_is_one_object_on_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    at = datetime(2026, 1, 31, 12, tzinfo=UTC)
    printing.as_json({"text": "é\n[red]", "at": at})
    out = capsys.readouterr().out
    assert out.count("\n") == 1
    assert json.loads(out)["text"] == "é\n[red]"


@pytest.mark.parametrize("no_color", [True, False])
def test_on_a_terminal_rows_are_a_table(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, no_color: bool
) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)
    if no_color:
        monkeypatch.setenv("NO_COLOR", "1")
    printing.rows("worklist", ("job_state",), [{"job_state": "FAILED"}])
    out = capsys.readouterr().out
    assert "job state" in out
    assert "FAILED" in out
    assert ("\x1b[1;31m" in out) is not no_color


def test_what_is_wider_than_the_terminal_is_a_block_for_each_row(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setenv("TERM", "dumb")  # of 80 columns, and without colours
    uid = f"2.25.{'1' * 39}"
    columns = ("sop_instance_uid", "error", "state")
    short = {"sop_instance_uid": uid, "error": "", "state": "SENT"}
    printing.rows("deliveries", columns, [short, short])
    title, head, *rows = capsys.readouterr().out.splitlines()
    assert title == "deliveries"
    assert " ".join(head.split()) == "sop instance uid error state"
    assert [row.split() for row in rows] == [[uid, "SENT"]] * 2
    printing.rows("deliveries", columns, [short | {"error": "x" * 90}, short])
    # A word stays one, what is absent is left out.
    assert capsys.readouterr().out.splitlines()[1:] == [
        f"sop instance uid  {uid}",
        f"error             {'x' * 90}",
        "state             SENT",
        "",
        f"sop instance uid  {uid}",
        "state             SENT",
        "",
    ]


def test_markup_in_values_is_only_text(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    printing.rows("t", ("reason",), [{"reason": "[red]tag[/red]"}])
    assert "[red]tag[/red]" in capsys.readouterr().out


def test_times_are_cut_to_seconds() -> None:
    assert printing.to_seconds("2026-01-31T12:00:00.123456Z") == "2026-01-31T12:00:00Z"
    assert printing.to_seconds("2026-01-31T12:00:00Z") == "2026-01-31T12:00:00Z"
    assert printing.to_seconds(None) == ""
