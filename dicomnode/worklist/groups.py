"""Group commit: one transaction carries whatever is waiting.

A commit costs a disk sync whether it holds one row or fifty. The first thread that
finds nobody committing takes everything that waits, its own item among it, and commits
it; the others return with their answers once that is durable, and the first of those
who have come meanwhile commits next. There is no thread to start, feed or end. If a
group fails, each of its items is tried once more alone, so that one bad item cannot
fail the others; if the database as a whole is unavailable they fail together.
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
    """One waiting item; whoever ends its waiting lets go of ``woken``."""

    __slots__ = ("answers", "failure", "item", "leads", "woken")

    def __init__(self, item: T) -> None:
        self.item = item
        self.woken = threading.Lock()
        self.woken.acquire()
        self.leads = False
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
        self._lock = threading.Lock()
        self._waiting: list[_Ticket[T, R]] = []
        self._committing = False

    def submit(self, item: T) -> R:
        """The answer for ``item``, once durable; raises what its commit raises."""
        ticket: _Ticket[T, R] = _Ticket(item)
        if not self._begins(ticket):
            # Only those whose waiting is over are woken, each by its own lock: with one
            # condition for all, each commit would wake everyone.
            ticket.woken.acquire()
        if ticket.leads:
            self._commit_group([*self._taken(), ticket])
        if ticket.failure:
            # One error cannot be raised in many threads: each gets its own of the kind.
            raise type(ticket.failure)(str(ticket.failure)) from ticket.failure
        return ticket.answers[0] if ticket.answers else self._commit([item])[0]

    def _begins(self, ticket: _Ticket[T, R]) -> bool:
        """Whether nobody commits and ``ticket`` leads; otherwise it waits in line."""
        with self._lock:
            if self._committing:
                self._waiting.append(ticket)
                return False
            self._committing = ticket.leads = True
            return True

    def _taken(self) -> Sequence[_Ticket[T, R]]:
        """Those who go with the leader."""
        room = self._largest_group - 1
        with self._lock:
            taken, self._waiting = self._waiting[:room], self._waiting[room:]
        return taken

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
        with self._lock:
            following = self._waiting.pop(0) if self._waiting else None
            self._committing = following is not None
        if following:
            following.leads = True
            following.woken.release()
        for ticket in group:
            if not ticket.leads:
                ticket.woken.release()
