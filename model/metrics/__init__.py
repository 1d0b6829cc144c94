"""Figures with intervals, for whatever gives scores and truths; no torch.

scikit-learn and torchmetrics are the oracles of the tests, not used here: they have
neither DeLong nor a bootstrap over patients.
"""

from model.metrics.decisions import (
    Choice,
    Rule,
    choose,
    choose_with_interval,
    counts,
    net_benefit,
    net_benefit_of_all,
    rates,
)
from model.metrics.delong import delong, delong_interval, delong_paired
from model.metrics.figure import (
    Figure,
    bootstrap,
    drawn_figure,
    resamples,
    share_figure,
    wilson,
)
from model.metrics.paired import Difference, holm, paired_auroc
from model.metrics.ranking import (
    auroc_figure,
    average_precision,
    average_precision_figure,
    precision_recall,
    roc,
)
from model.metrics.ranks import auroc, midranks
from model.metrics.reliability import (
    Bin,
    brier,
    brier_figure,
    calibration_error,
    calibration_figure,
    reliability,
    top_class,
)

__all__ = [
    "Bin",
    "Choice",
    "Difference",
    "Figure",
    "Rule",
    "auroc",
    "auroc_figure",
    "average_precision",
    "average_precision_figure",
    "bootstrap",
    "brier",
    "brier_figure",
    "calibration_error",
    "calibration_figure",
    "choose",
    "choose_with_interval",
    "counts",
    "delong",
    "delong_interval",
    "delong_paired",
    "drawn_figure",
    "holm",
    "midranks",
    "net_benefit",
    "net_benefit_of_all",
    "paired_auroc",
    "precision_recall",
    "rates",
    "reliability",
    "resamples",
    "roc",
    "share_figure",
    "top_class",
    "wilson",
]
