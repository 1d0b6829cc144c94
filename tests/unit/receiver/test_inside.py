"""Who is inside, counted by one process or by several."""

from __future__ import annotations

import os

import pytest

from dicomnode.receiver.inside import Inside, SharedInside, new_board


@pytest.fixture(params=["own", "shared"])
def inside(request):
    if request.param == "own":
        yield Inside()
        return
    board = new_board(2, most=4)
    yield SharedInside(board, 1)
    os.close(board.descriptor)


def test_each_that_enters_counts_until_it_leaves(inside):
    with inside.held():
        for title in ("CT1", "CT1", "A_SIXTEEN_LETTER", ""):
            inside.add(title)
        assert inside.total() == 4
        assert inside.of("CT1") == 2
        assert inside.of("") == 1
        inside.remove("CT1")
        inside.remove("")
        assert (inside.total(), inside.of("CT1"), inside.of("")) == (2, 1, 0)


def test_a_limit_is_one_of_all_processes():
    board = new_board(3, most=4)
    first, second = SharedInside(board, 0), SharedInside(board, 2)
    first.add("CT1")
    second.add("CT1")
    second.add("MR1")
    assert (first.total(), first.of("CT1")) == (3, 2)
    board.wipe(2)
    assert (first.total(), first.of("CT1"), first.of("MR1")) == (1, 1, 0)
    os.close(board.descriptor)


def test_processes_take_turns():
    board = new_board(2, most=1000)
    pids = []
    for process in range(2):
        pid = os.fork()
        if pid == 0:
            mine = SharedInside(board, process)
            for _ in range(300):
                with mine.held():
                    mine.add(f"P{process}")
            os._exit(0)
        pids.append(pid)
    assert [os.waitpid(pid, 0)[1] for pid in pids] == [0, 0]
    seen = SharedInside(board, 0)
    assert (seen.total(), seen.of("P0"), seen.of("P1")) == (600, 300, 300)
    os.close(board.descriptor)
