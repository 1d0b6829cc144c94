"""What service watches for drift, by the same names and rules at pack time and after.

Values of one image: each label's logit, the statistics of the display pixels, and the
distance from the training images. Of a series: its own logits, and the medians over the
slices that were read. Not one of them tells who the patient is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from model.bundle.description import Label
    from model.bundle.prediction import Prediction, SeriesPrediction

DISTANCE = "domain distance"


def watched(prediction: Prediction | SeriesPrediction) -> dict[str, float]:
    """Name -> value of one image, or of one series, in service."""
    scores = {f"score {name}": z for name, z in prediction.logits.items()}
    image = {f"image {name}": v for name, v in prediction.statistics.items()}
    return {**scores, **image, DISTANCE: prediction.domain_distance}


def columns(
    predictions: Sequence[Prediction | SeriesPrediction],
) -> dict[str, NDArray[np.float64]]:
    """Name -> one value per image or series, for a reference."""
    rows = [watched(one) for one in predictions]
    return {name: np.array([row[name] for row in rows]) for name in rows[0]}


def is_undetermined(
    labels: Sequence[Label], probabilities: Mapping[str, float]
) -> bool:
    """Whether any finding is in its grey zone, or any choice is not a sure one."""
    best: dict[str, Label] = {}
    for label in labels:
        p = probabilities[label.name]
        if label.kind == "finding" and label.grey_low <= p < label.grey_high:
            return True
        rival = best.get(label.head)
        if label.kind == "category" and (
            rival is None or p > probabilities[rival.name]
        ):
            best[label.head] = label
    return any(probabilities[one.name] < one.grey_high for one in best.values())
