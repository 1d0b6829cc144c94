"""A queue of ours beside the library's: the same answers, also to who waits."""

from __future__ import annotations

import queue
import threading
from typing import Any

import pytest

from dicomnode.receiver.queued import Queued


@pytest.fixture(params=[queue.Queue, Queued])
def waiting(request: pytest.FixtureRequest) -> Any:
    return request.param()


def test_first_in_first_out_and_the_first_can_be_seen(waiting: Any) -> None:
    assert waiting.empty()
    waiting.put("a")
    waiting.put("b")
    assert waiting.queue[0] == "a"
    assert not waiting.empty()
    assert [waiting.get(), waiting.get(False)] == ["a", "b"]


def test_nothing_to_take(waiting: Any) -> None:
    for take in (
        lambda: waiting.get(block=False),
        waiting.get_nowait,
        lambda: waiting.get(timeout=0.01),
    ):
        with pytest.raises(queue.Empty):
            take()


def test_who_waits_gets_what_comes(waiting: Any) -> None:
    found: list[int] = []
    takers = [
        threading.Thread(target=lambda: found.append(waiting.get(timeout=30)))
        for _ in range(3)
    ]
    for one in takers:
        one.start()
    for number in range(3):
        waiting.put(number)
    for one in takers:
        one.join()
    assert sorted(found) == [0, 1, 2]
    assert waiting.empty()
