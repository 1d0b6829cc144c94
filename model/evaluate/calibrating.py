"""The temperature of each head, set on validation images or series."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from model import calibration, metrics
from model.data.dataset import targets
from model.network import head_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from model.evaluate.runs import Run
    from model.evaluate.scoring import Scores

_ENOUGH_TO_CALIBRATE = 300
_LARGEST_ERROR = 0.02
_MISS = 0.1


def is_phantom(sources: NDArray[np.str_]) -> NDArray[np.bool_]:
    """Which sources are drawn by this program, radiographs or series."""
    return np.char.startswith(sources, "phantom")


def calibrated(run: Run, scores: Scores, head: dict[str, Any]) -> dict[str, Any]:
    """The head's temperature, and whether its probabilities earn their name."""
    known, target = _judged(scores, head)
    logits = known.logits[head["name"]]
    activation = head["activation"]
    temperature = calibration.fit_temperature(logits, target, activation)
    fitted = calibration.cross_fitted(logits, target, activation, known.patients)
    error = metrics.calibration_error(*metrics.top_class(fitted, target))
    n_images = len({row.path for row in known.rows})
    return {
        "name": head["name"],
        "classes": list(head["classes"]),
        "activation": activation,
        **({"parents": head["parents"]} if head.get("parents") else {}),
        "temperature": round(temperature, 4),
        "sources": _trained_on(run, head),
        "calibrated": n_images >= _ENOUGH_TO_CALIBRATE and error <= _LARGEST_ERROR,
        "conformal": _conformal(
            calibration.probabilities(logits, activation, temperature), target
        ),
    }


def _conformal(
    probabilities: NDArray[np.float64], target: NDArray[np.float64]
) -> dict[str, Any] | None:
    """Class-conditional quantiles of 1 - p for sets that miss a class at most so often.

    Of a head with one class they are of absent and present. None for heads of several
    answers at once, and where too few images make a quantile infinite.
    """
    if probabilities.shape[1] == 1:
        probabilities = np.hstack([1 - probabilities, probabilities])
        target = np.hstack([1 - target, target])
    if not np.isin(target, (0, 1)).all() or (target.sum(1) != 1).any():
        return None
    quantiles = calibration.class_quantiles(probabilities, target.argmax(1), _MISS)
    if not np.isfinite(quantiles).all():
        return None
    return {"miss": _MISS, "quantiles": [round(float(q), 6) for q in quantiles]}


def _trained_on(run: Run, head: dict[str, Any]) -> list[str]:
    """Sources whose labels the head learned from; none named when it was all."""
    if head["made"]:
        return []
    rows = run.split("train")
    answer = targets(rows, head_of(head))
    usable = np.flatnonzero(~np.isnan(answer).any(1))
    return sorted({rows[index].source for index in usable})


def _judged(scores: Scores, head: dict[str, Any]) -> tuple[Scores, NDArray[np.float64]]:
    """Real images whose answer is known, and that answer; phantoms would flatter."""
    real = scores.where(~is_phantom(scores.sources))
    scores = real if real.rows else scores
    if head["made"] == "rotation":
        turns = np.array([variant.turns for variant in scores.variants])
        return scores, np.eye(len(head["classes"]))[turns]
    if head["made"] == "inversion":
        inverted = np.array([[variant.inverted] for variant in scores.variants])
        return scores, inverted.astype(np.float64)
    if head["made"] == "mirror":
        plain = scores.where(np.array([not v.inverted for v in scores.variants]))
        # asked of upright images: a turned one is to be put right first
        yes = np.array([[v.mirrored and not v.turns] for v in plain.variants])
        return plain, yes.astype(np.float64)
    answer = targets(scores.rows, head_of(head))
    usable = scores.upright & ~np.isnan(answer).any(1)
    return scores.where(usable), answer[usable].astype(np.float64)
