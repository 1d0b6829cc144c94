"""Which jobs a worker may take beside those it holds. Pure.

Jobs on whole series take minutes, those on images a moment. So that neither waits for
the other, each kind has its own room: a job of a kind of which the worker holds none
always gets in, and beyond the usual number so does one that is more urgent than all of
its kind.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

MOST_BESIDES = 4
"""Jobs beyond the usual number: room for each step of urgency, and an end to it."""


@dataclass(frozen=True, slots=True)
class Holding:
    """A job that the worker holds.

    ``alone``: it may have ended a worker, and is worked on without others beside it;
    ``waiting`` until it can be.
    """

    priority: int
    of_series: bool
    alone: bool = False
    waiting: bool = False


@dataclass(frozen=True, slots=True)
class Opening:
    """Jobs that may be taken: ``kinds`` are whether they are of series; ``above``
    which priority, None for any.
    """

    kinds: tuple[bool, ...]
    above: int | None = None


@dataclass(frozen=True, slots=True)
class Room:
    """``concurrent_jobs`` at once, of them ``series_jobs`` on whole series."""

    concurrent_jobs: int
    series_jobs: int

    def openings(self, held: Sequence[Holding]) -> tuple[Opening, ...]:
        """What may be claimed next, the first that gives a job; none when full."""
        if len(held) >= self.concurrent_jobs + MOST_BESIDES:
            return ()
        if any(one.alone and not one.waiting for one in held):
            return ()
        if any(one.alone for one in held):
            above = _highest(held)
            return (Opening((False, True), above),)
        images = self._of_kind(held, of_series=False)
        series = self._of_kind(held, of_series=True)
        if images.above is None and series.above is None:
            return (Opening((False, True)),)
        return images, series

    def _of_kind(self, held: Sequence[Holding], *, of_series: bool) -> Opening:
        alike = [one for one in held if one.of_series is of_series]
        most = self.series_jobs if of_series else self.concurrent_jobs
        free = len(held) < self.concurrent_jobs and len(alike) < most
        above = None if free else _highest(alike)
        return Opening((of_series,), above)


def _highest(held: Iterable[Holding]) -> int | None:
    return max((one.priority for one in held), default=None)
