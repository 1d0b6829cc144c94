"""What is wanted of the slices of a series, and what a network is given of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from model import preparation, quality
from model.preparation import Preparation

_PLANE = 2


@dataclass(frozen=True, slots=True)
class Wanted:
    """Frames (from 0) of one file, to be shown through windows, or each through
    percentiles of its own values.

    ``preparation``: what a network is to be given of them instead; ``measured``: the
    frames of which the measures of `model.quality` are wanted too.
    """

    frames: tuple[int, ...]
    windows: tuple[tuple[float, float], ...]
    percentiles: bool = False
    preparation: Preparation | None = None
    measured: tuple[int, ...] = ()

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the canvases of each frame; empty without a preparation."""
        if self.preparation is None:
            return ()
        return max(1, len(self.windows)), *self.preparation.shape[1:]

    @classmethod
    def from_words(cls, words: Mapping[str, Any]) -> Wanted:
        """What `dataclasses.asdict` gave."""
        made = words["preparation"]
        return cls(
            tuple(int(frame) for frame in words["frames"]),
            tuple((float(c), float(w)) for c, w in words["windows"]),
            bool(words["percentiles"]),
            None if made is None else Preparation(**made),
            tuple(int(frame) for frame in words["measured"]),
        )


@dataclass(frozen=True, slots=True)
class PreparedPlanes:
    """The windows of a slice, or of it and its neighbours.

    ``canvases``: float32 (windows, N, N), see `model.preparation`. ``statistics``: of
    the middle window. ``shape``: rows and columns before. ``measures``: those of
    `model.quality`, of the first window, where they were wanted.
    """

    canvases: NDArray[np.float32]
    statistics: tuple[float, ...]
    shape: tuple[int, ...]
    measures: Mapping[str, float] = field(default_factory=dict)

    @classmethod
    def of(
        cls, planes: NDArray[np.uint8], wanted: Preparation, *, measured: bool
    ) -> Self:
        """Of uint8 (windows, rows, columns)."""
        shown = np.asarray(planes / np.float32(255), np.float32)
        return cls(
            wanted(shown),
            tuple(preparation.statistics(shown)),
            planes.shape[-_PLANE:],
            quality.measure(shown[0]) if measured else {},
        )

    def beside(self, others: Sequence[Self]) -> Self:
        """This slice with the canvases of these, in order."""
        return replace(self, canvases=np.concatenate([x.canvases for x in others]))

    def to_words(self) -> dict[str, Any]:
        """All but the canvases, as it travels between processes."""
        return {
            "canvases": self.canvases.shape,
            "statistics": self.statistics,
            "shape": self.shape,
            "measures": dict(self.measures),
        }

    @classmethod
    def from_words(cls, words: Mapping[str, Any], content: NDArray[np.uint8]) -> Self:
        """What `to_words` gave, with the bytes of the canvases."""
        shape = tuple(int(side) for side in words["shape"])
        if len(shape) != _PLANE or min(shape) < 1:
            raise ValueError("a slice has a shape that none can have")
        return cls(
            content.view(np.float32).reshape(words["canvases"]),
            tuple(float(number) for number in words["statistics"]),
            shape,
            {str(k): float(v) for k, v in dict(words["measures"]).items()},
        )
