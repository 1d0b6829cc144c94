"""The trail on disk: whole lines, segments, many writers, a torn end."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from dicomnode.audit.journal import Journal, Position


def line(number: int) -> bytes:
    return b"<85>1 %06d <AuditMessage></AuditMessage>" % number


def all_of(journal: Journal) -> list[bytes]:
    position, found = Position(), []
    while True:
        lines, position = journal.read(position, 7)
        if not lines:
            return found
        found += lines


def test_what_is_appended_is_read_in_order_over_segments(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "audit", rotate_bytes=200)
    for start in range(0, 30, 3):
        journal.append([line(n) for n in range(start, start + 3)])
    assert len(journal.numbers()) > 3
    assert all_of(journal) == [line(n) for n in range(30)]


def test_it_is_for_the_service_only(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "audit", rotate_bytes=200)
    journal.append([line(1)])
    assert (tmp_path / "audit").stat().st_mode & 0o007 == 0
    assert journal.path_of(1).stat().st_mode & 0o007 == 0


def test_a_torn_line_is_closed_and_passed_over(tmp_path: Path) -> None:
    """A power loss may leave the beginning of a line."""
    journal = Journal(tmp_path, rotate_bytes=10_000)
    journal.append([line(1)])
    with journal.path_of(1).open("ab") as file:
        file.write(line(2)[:20])
    journal.append([line(3)])
    assert all_of(journal) == [line(1), line(3)]


def test_a_failed_sync_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = Journal(tmp_path, rotate_bytes=10_000)
    journal.append([line(1)])
    with monkeypatch.context() as patched:

        def fails(_descriptor: int) -> None:
            raise OSError(5, "Input/output error")

        patched.setattr(os, "fsync", fails)
        with pytest.raises(OSError, match="Input/output"):
            journal.append([line(2)])
    assert all_of(journal) == [line(1)]
    journal.append([line(2)])
    assert all_of(journal) == [line(1), line(2)]


def test_a_reader_that_waits_at_the_end_goes_on(tmp_path: Path) -> None:
    journal = Journal(tmp_path, rotate_bytes=50)
    assert journal.read(Position(), 10) == ([], Position())
    journal.append([line(1)])
    _, position = journal.read(Position(), 10)
    assert journal.read(position, 10)[0] == []
    journal.append([line(2)])
    journal.append([line(3)])
    lines, position = journal.read(position, 10)
    assert lines == [line(2)]
    assert journal.read(position, 10)[0] == [line(3)]


def test_segments_are_forgotten_when_old_and_sent(tmp_path: Path) -> None:
    journal = Journal(tmp_path, rotate_bytes=50)
    for number in range(4):
        journal.append([line(number)])
        journal.append([line(number)])
    many = journal.numbers()
    for number in many:
        os.utime(journal.path_of(number), (1000, 1000))
    assert journal.forget(500, None) == 0
    assert journal.forget(2000, Position(2, 0)) == 1
    assert journal.forget(2000, None) == len(many) - 2
    assert journal.numbers() == many[-1:]


WRITER = """
import sys
from pathlib import Path
from dicomnode.audit.journal import Journal
journal = Journal(Path(sys.argv[1]), rotate_bytes=2000)
for number in range(40):
    journal.append([b"<85>1 %s %d <AuditMessage></AuditMessage>" % (sys.argv[2].encode(), number)] * 2)
"""  # noqa: E501


def test_many_processes_write_whole_lines(tmp_path: Path) -> None:
    writers = [
        subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path), name])
        for name in "abc"
    ]
    assert [one.wait() for one in writers] == [0, 0, 0]
    found = all_of(Journal(tmp_path, rotate_bytes=2000))
    for name in (b"a", b"b", b"c"):
        mine = [one for one in found if one.split()[1] == name]
        assert mine == [
            b"<85>1 %s %d <AuditMessage></AuditMessage>" % (name, number)
            for number in range(40)
            for _ in range(2)
        ]
