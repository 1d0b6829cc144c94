"""What a bundle says of one image, or of one series; plain data, no torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Prediction:
    """Label name -> value.

    probabilities: calibrated where the label says so; equal for all classes of a head
    that was never trained on the kind of image this one is nearest to. logits: as the
    network gives them.
    activation_maps: float32 (map rows, map columns) in [0, 1], covering exactly the
    source image. domain_distance beyond domain_limit: not an image the model knows.
    statistics: of the display pixels, by name.
    """

    probabilities: dict[str, float]
    logits: dict[str, float]
    in_domain: bool
    domain_distance: float
    domain_limit: float
    statistics: dict[str, float]
    activation_maps: dict[str, NDArray[np.float32]]


@dataclass(frozen=True)
class SeriesPrediction:
    """Label name -> value.

    logits: aggregated over the slices. probabilities: of those, calibrated. slices: the
    calibrated probability of each slice, in their order. Domain as in `Prediction`, of
    the median slice. statistics: each one's median over the slices.
    """

    probabilities: Mapping[str, float]
    logits: Mapping[str, float]
    slices: Mapping[str, tuple[float, ...]]
    in_domain: bool
    domain_distance: float
    domain_limit: float
    statistics: Mapping[str, float]
