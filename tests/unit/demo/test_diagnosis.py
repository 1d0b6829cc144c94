"""A role that cannot stay up ends the wait, in the words of its own log."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from dicomnode.demo.diagnosis import check_roles
from dicomnode.demo.failure import DemoFailed


def _write(log: Path, *entries: dict[str, object]) -> Path:
    lines = ["Traceback: not JSON", *map(json.dumps, entries), '{"cut": "sho']
    log.write_text("\n".join(lines))
    return log


def _ended(failures: int) -> dict[str, object]:
    return {
        "event": "supervisor.role_ended",
        "role": "work",
        "level": "error",
        "failures": failures,
    }


REFUSED = {
    "event": "worker.bundle_refused",
    "role": "work",
    "level": "error",
    "error": "no bundle cxr-qc; install it",
}


def test_one_failure_may_pass(tmp_path: Path) -> None:
    check_roles(_write(tmp_path / "log", REFUSED, _ended(1)))


def test_repeated_failures_are_told_in_their_own_words(tmp_path: Path) -> None:
    log = _write(tmp_path / "log", *[REFUSED, _ended(1)] * 2, REFUSED, _ended(3))
    with pytest.raises(DemoFailed) as raised:
        check_roles(log)
    expected = "the role work does not stay up:\n  no bundle cxr-qc; install it"
    assert str(raised.value) == expected


def test_a_role_that_says_nothing_names_the_log(tmp_path: Path) -> None:
    log = _write(tmp_path / "log", _ended(5))
    with pytest.raises(DemoFailed, match="read "):
        check_roles(log)
