"""The checks of a bundle that need no network, on a series as a whole."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median
from typing import TYPE_CHECKING

from dicomnode.domain.series import SliceHeader, Volume
from model import bundle as bundles

if TYPE_CHECKING:
    from dicomnode.decoder import PreparedPlanes

_MOST_MEASURED = 12
"""Slices at most whose pixels are measured, spread evenly over those that are read."""


class SeriesChecks:
    """Looks at slices on their way to the network; the median slice counts.

    A header attribute is that of the middle slice. ``measured``: indices of the slices
    whose pixels are to be measured.
    """

    def __init__(self, checks: Sequence[bundles.QualityCheck], volume: Volume) -> None:
        self._checks = checks
        self._measured: list[dict[str, float]] = []
        self.measured = frozenset[int]()
        if any(one.measure for one in checks):
            step = -(-len(volume.wanted) // _MOST_MEASURED)
            self.measured = frozenset(volume.wanted[step // 2 :: step])
        self.header = middle_of(volume)

    def look(self, index: int, stack: PreparedPlanes) -> None:
        """At a slice: the measures of its own picture in the first window."""
        if index in self.measured:
            self._measured.append(dict(stack.measures))

    def remarks(self) -> tuple[bundles.Remark, ...]:
        """What the checks say of the series."""
        names = self._measured[0] if self._measured else ()
        measured = {name: median(one[name] for one in self._measured) for name in names}
        header = {name: words[0] for name, words in self.header.facts.items()}
        return bundles.remarks(self._checks, measured, header)


def middle_of(volume: Volume) -> SliceHeader:
    """The header of the middle one of the slices that are read."""
    return volume.slices[volume.wanted[len(volume.wanted) // 2]].header
