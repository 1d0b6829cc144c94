"""Group commit: one transaction carries whatever is waiting.

A commit costs a disk sync whether it holds one row or fifty. The first thread that
finds nobody committing takes everything that waits, its own item among it, and commits
it; the others return with their answers once that is durable. There is no thread to
start, feed or end. If a group fails, each of its items is tried once more alone, so
that one bad item cannot fail the others; if the database as a whole is unavailable they
fail together.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from dicomnode.errors import WorklistError
from dicomnode.worklist.translation import Unavailable

T = TypeVar("T")
R = TypeVar("R")

_LARGEST_GROUP = 256


class _Ticket(Generic[T, R]):
    """One waiting item."""

    __slots__ = ("answers", "failure", "item", "over")

    def __init__(self, item: T) -> None:
        self.item = item
        self.over = False
        self.answers: tuple[R, ...] = ()
        self.failure: Unavailable | None = None


class GroupCommit(Generic[T, R]):
    """Calls ``commit`` with all waiting items; it returns one answer for each."""

    def __init__(
        self,
        commit: Callable[[Sequence[T]], Sequence[R]],
        largest_group: int = _LARGEST_GROUP,
    ) -> None:
        self._commit = commit
        self._largest_group = largest_group
        self._changed = threading.Condition()
        self._waiting: list[_Ticket[T, R]] = []
        self._committing = False

    def submit(self, item: T) -> R:
        """The answer for ``item``, once durable; raises what its commit raises."""
        ticket: _Ticket[T, R] = _Ticket(item)
        group = self._wait(ticket)
        if group:
            self._commit_group(group)
        if ticket.failure:
            raise Unavailable(str(ticket.failure)) from ticket.failure
        return ticket.answers[0] if ticket.answers else self._commit([item])[0]

    def _wait(self, ticket: _Ticket[T, R]) -> list[_Ticket[T, R]]:
        """Until ``ticket`` is over, or its thread is the one to commit a group."""
        with self._changed:
            self._waiting.append(ticket)
            while self._committing and not ticket.over:
                self._changed.wait()
            if ticket.over:
                return []
            self._committing = True
            return self._take(ticket)

    def _take(self, ticket: _Ticket[T, R]) -> list[_Ticket[T, R]]:
        others = [one for one in self._waiting if one is not ticket]
        room = self._largest_group - 1
        self._waiting = others[room:]
        return [*others[:room], ticket]

    def _commit_group(self, group: Sequence[_Ticket[T, R]]) -> None:
        try:
            answers = self._commit([ticket.item for ticket in group])
            for ticket, answer in zip(group, answers, strict=True):
                ticket.answers = (answer,)
        except Unavailable as failure:
            for ticket in group:
                ticket.failure = failure
        except WorklistError:
            if len(group) == 1:
                raise
        finally:
            self._release(group)

    def _release(self, group: Sequence[_Ticket[T, R]]) -> None:
        with self._changed:
            self._committing = False
            for ticket in group:
                ticket.over = True
            self._changed.notify_all()
