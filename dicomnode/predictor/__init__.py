"""The Predictor port over a bundle: the only importer of torch."""

from dicomnode.predictor.network import BundleNetwork
from dicomnode.predictor.predicting import (
    BundlePredictor,
    Site,
    batches_at_once,
    choose_device,
    limit_threads,
)

__all__ = [
    "BundleNetwork",
    "BundlePredictor",
    "Site",
    "batches_at_once",
    "choose_device",
    "limit_threads",
]
