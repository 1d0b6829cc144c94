"""Who a worker is, how it works, and whom it tells."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class WorkerFacts:
    """Who this worker is, for v1_workers.

    ``warm_seconds``: what it took to load its bundles and to warm them.
    """

    worker_id: str
    host: str
    device: str
    warm_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class LoopPolicy:
    """Lease, heartbeat, idle pause (seconds) and delays between attempts.

    ``timeout_seconds`` is what one study may take; 0 waits for ever.
    ``concurrent_jobs``: so many at once, so that one is decoded while the network runs
    on another; of them ``series_jobs`` on whole series. `dicomnode.worker.room` says
    which get in besides.
    """

    lease_seconds: float
    heartbeat_seconds: float
    poll_seconds: float
    retry_seconds: Sequence[float]
    timeout_seconds: float = 0
    concurrent_jobs: int = 1
    series_jobs: int = 1


@dataclass(frozen=True, slots=True)
class Signals:
    """Called by the loop.

    ``alive``: in every turn; a process where it is not called any more hangs, even if
    no thread of it can run to say so.
    """

    alive: Callable[[], None] = lambda: None
