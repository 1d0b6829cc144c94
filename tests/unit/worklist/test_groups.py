"""Group commit: together when it goes well, each alone when it does not."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from dicomnode.errors import WorklistError
from dicomnode.worklist.groups import GroupCommit
from dicomnode.worklist.translation import DiskFailed, Unavailable


class Ledger:
    """Commits that can be held back; the first one tells when it has begun."""

    def __init__(self) -> None:
        self.commits: list[list[int]] = []
        self.begun = threading.Event()
        self.go_on = threading.Event()
        self.bad: frozenset[int] = frozenset()
        self.failure: type[WorklistError] = WorklistError

    def commit(self, items: Sequence[int]) -> list[int]:
        first = not self.commits
        self.commits.append(list(items))
        if first:
            self.begun.set()
            self.go_on.wait()
        if self.bad & set(items):
            raise self.failure(f"cannot commit {sorted(self.bad & set(items))}")
        return [-item for item in items]


def submit_while_busy(
    ledger: Ledger, items: range, **options: int
) -> list[Future[int]]:
    """Submit item 0 and, while its commit is on the way, all the others."""
    group = GroupCommit(ledger.commit, **options)
    with ThreadPoolExecutor(len(items) + 1) as pool:
        first = pool.submit(group.submit, 0)
        ledger.begun.wait()
        others = [pool.submit(group.submit, item) for item in items]
        while len(group._waiting) < len(items):
            pass
        ledger.go_on.set()
    return [first, *others]


def test_one_commit_carries_all_that_wait() -> None:
    ledger = Ledger()
    futures = submit_while_busy(ledger, range(1, 6))
    assert [future.result() for future in futures] == [0, -1, -2, -3, -4, -5]
    assert ledger.commits[0] == [0]
    assert sorted(ledger.commits[1]) == [1, 2, 3, 4, 5]
    assert len(ledger.commits) == 2


def test_a_group_has_a_largest_size() -> None:
    ledger = Ledger()
    futures = submit_while_busy(ledger, range(1, 6), largest_group=2)
    assert [future.result() for future in futures] == [0, -1, -2, -3, -4, -5]
    assert sorted(len(commit) for commit in ledger.commits) == [1, 1, 2, 2]


def test_one_bad_item_fails_alone() -> None:
    ledger = Ledger()
    ledger.bad = frozenset({3})
    futures = submit_while_busy(ledger, range(1, 6))
    failed = [future for future in futures if future.exception()]
    assert [future.exception() for future in failed] == [failed[0].exception()]
    with pytest.raises(WorklistError, match=r"cannot commit \[3\]"):
        failed[0].result()
    good = [future.result() for future in futures if not future.exception()]
    assert good == [0, -1, -2, -4, -5]


@pytest.mark.parametrize("kind", [Unavailable, DiskFailed])
def test_an_unavailable_database_fails_all_at_once(kind: type[Unavailable]) -> None:
    ledger = Ledger()
    ledger.bad, ledger.failure = frozenset({3}), kind
    first, *others = submit_while_busy(ledger, range(1, 6))
    assert first.result() == 0
    assert {type(future.exception()) for future in others} == {kind}
    assert len(ledger.commits) == 2


def test_a_single_item_is_tried_once() -> None:
    ledger = Ledger()
    ledger.go_on.set()
    ledger.bad = frozenset({7})
    group = GroupCommit(ledger.commit)
    with pytest.raises(WorklistError):
        group.submit(7)
    assert ledger.commits == [[7]]
    assert group.submit(8) == -8


def test_an_interrupted_leader_leaves_no_one_waiting() -> None:
    commits: list[list[int]] = []

    def interrupt(items: Sequence[int]) -> list[int]:
        commits.append(list(items))
        if len(commits) == 1:
            raise KeyboardInterrupt
        return list(items)

    group = GroupCommit(interrupt)
    with pytest.raises(KeyboardInterrupt):
        group.submit(1)
    assert group.submit(2) == 2
