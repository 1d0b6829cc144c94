"""After a failed sync the process may not believe its database again."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
from sqlalchemy.exc import OperationalError

from dicomnode.worklist import open_worklist, upgrade
from dicomnode.worklist.translation import DiskFailed, Unavailable, translated
from tests.contract.worklist.making import received


def failure(code: int) -> OperationalError:
    original = sqlite3.OperationalError("disk I/O error")
    original.sqlite_errorcode = code
    return OperationalError("COMMIT", {}, original)


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (sqlite3.SQLITE_IOERR, DiskFailed),
        (sqlite3.SQLITE_IOERR_FSYNC, DiskFailed),
        (sqlite3.SQLITE_IOERR_WRITE, DiskFailed),
        (sqlite3.SQLITE_FULL, Unavailable),
        (sqlite3.SQLITE_BUSY, Unavailable),
    ],
)
def test_only_a_failing_disk_is_final(code: int, kind: type[Unavailable]) -> None:
    with pytest.raises(Unavailable) as caught, translated():
        raise failure(code)
    assert type(caught.value) is kind
    assert caught.value.retryable


def test_nothing_is_written_after_the_disk_has_failed(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'worklist.db'}"
    upgrade(url)
    worklist = open_worklist(url)
    assert worklist.is_sound
    with pytest.raises(DiskFailed), worklist._database.write():
        raise failure(sqlite3.SQLITE_IOERR_FSYNC)
    assert not worklist.is_sound
    with pytest.raises(DiskFailed, match="check the disk, then restart the node"):
        worklist.intake.record(received())
    with pytest.raises(DiskFailed):
        worklist.upkeep.checkpoint()
    worklist.close()
    with open_worklist(url) as again:
        again.intake.record(received())
