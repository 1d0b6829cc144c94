"""A line of `tail` on a terminal, and elsewhere."""

from __future__ import annotations

import pytest

from dicomnode.cli import lines

UID = "2.25.293937175105064128723409939659638571139"
LINE = f"13:16:55  #3c4b11a9  DELIVERED   sr {UID} PACS answered 0x0000  st:5469"


@pytest.mark.parametrize(
    ("columns", "shown"), [("80", LINE.replace(UID, "…38571139")), ("120", LINE)]
)
def test_a_uid_is_cut_where_a_terminal_is_too_narrow(
    monkeypatch: pytest.MonkeyPatch, columns: str, shown: str
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    assert lines.fitted(LINE) == LINE
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    assert lines.fitted(LINE) == shown


def test_addresses_and_versions_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "20")
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    words = "cxr-qc 0.4.0 to PACS@192.168.100.200:11112 waits"
    assert lines.fitted(words) == words
