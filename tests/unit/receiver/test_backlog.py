"""Work that piles up is told to the senders, and passes."""

from __future__ import annotations

from pathlib import Path

import pytest

from dicomnode.domain.instance import InstanceKey
from dicomnode.errors import StoreFull, WorklistError
from dicomnode.receiver.backlog import BacklogLimit
from dicomnode.store import LocalStore
from tests.integration.receiving import associated, receiving, status
from tests.integration.test_receive import made

KEY = InstanceKey("1.2", "1.3", "1.4", "1.5", "1.2.840.10008.1.2.1")


def test_over_the_limit_nothing_is_taken_until_work_is_done(tmp_path: Path) -> None:
    now, waiting = [0.0], [3]
    store = BacklogLimit(
        LocalStore(tmp_path, watermark_percent=100),
        lambda: waiting[0],
        limit=3,
        monotonic=lambda: now[0],
    )
    for take in (lambda: store.stage(KEY), lambda: store.put(KEY, [b""])):
        with pytest.raises(StoreFull, match=r"raise receiver\.max_waiting_jobs"):
            take()
    assert list(store.locations()) == []
    waiting[0] = 2
    now[0] = 1.0
    kept = store.put(KEY, [b"data"])
    assert list(store.locations()) == [kept.location]


def test_an_unreadable_worklist_stops_nobody_here(tmp_path: Path) -> None:
    def broken() -> int:
        raise WorklistError("locked; wait")

    store = BacklogLimit(LocalStore(tmp_path, watermark_percent=100), broken, 1)
    assert store.put(KEY, [b"data"]).location


def test_the_sender_is_answered_out_of_resources(tmp_path: Path) -> None:
    one, root = made(), tmp_path / "instances"
    store = BacklogLimit(LocalStore(root, watermark_percent=100), lambda: 9, 5)
    with (
        receiving(root, store=store) as node,
        associated(node.port, [one.context]) as association,
    ):
        assert status(association, one) == 0xA700
    assert not node.files()
    assert "9 jobs wait" in node.intake.refusals[0].reason
