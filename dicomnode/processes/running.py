"""How the configuration wants networks to run; for whoever may know the model."""

from __future__ import annotations

from dicomnode.config import Config
from dicomnode.processes import wiring
from model.bundle import Wanted


def wanted(config: Config) -> Wanted:
    """Precision, runtime, threads and batches of the worker."""
    worker = config.worker
    return Wanted(
        worker.precision,
        worker.runner,
        wiring.cache_folder(config),
        worker.threads,
        worker.batch_size,
    )
