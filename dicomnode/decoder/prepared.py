"""A slice of a series as the network is given it, made where it was decoded."""

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
