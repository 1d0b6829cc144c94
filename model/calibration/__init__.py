"""Probabilities that mean what they say, and sets that hold what they promise."""

from model.calibration.conformal import (
    HIGH,
    LOW,
    UNCERTAIN,
    Triage,
    certain,
    class_quantiles,
    coverage,
    fit_triage,
    prediction_sets,
)
from model.calibration.isotonic import (
    Steps,
    fit_isotonic,
    local_prevalence,
    shift_prior,
)
from model.calibration.logistic import Line, fit_platt, slope_and_intercept
from model.calibration.temperature import (
    cross_fitted,
    fit_temperature,
    loss,
    probabilities,
)

__all__ = [
    "HIGH",
    "LOW",
    "UNCERTAIN",
    "Line",
    "Steps",
    "Triage",
    "certain",
    "class_quantiles",
    "coverage",
    "cross_fitted",
    "fit_isotonic",
    "fit_platt",
    "fit_temperature",
    "fit_triage",
    "local_prevalence",
    "loss",
    "prediction_sets",
    "probabilities",
    "shift_prior",
    "slope_and_intercept",
]
