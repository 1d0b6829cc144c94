"""The worker process: warm bundles, one loop."""

from __future__ import annotations

import faulthandler
import os
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from threading import Event
from time import monotonic
from typing import NoReturn
from uuid import uuid4

import structlog

from dicomnode.batching import Batcher
from dicomnode.config import Config
from dicomnode.config import Pipeline as PipelineConfig
from dicomnode.decoder import DecodeLimits, Decoder, DecoderPool
from dicomnode.domain.job import Worker
from dicomnode.domain.ownership import MANUFACTURER
from dicomnode.errors import ConfigError, ResultError
from dicomnode.monitoring import FileMonitor
from dicomnode.ports import WakeUps
from dicomnode.ports.waking import DELIVERY_KINDS, ENDED_KINDS, JOB_KINDS
from dicomnode.predictor import (
    BundlePredictor,
    Site,
    batches_at_once,
    choose_device,
    limit_threads,
)
from dicomnode.processes import auditing, presence, service, storing, waking, wiring
from dicomnode.processes.clock import SystemClock
from dicomnode.processes.memory import leave_in_peace
from dicomnode.processes.renewal import renewed
from dicomnode.processes.running import wanted
from dicomnode.results import VIEWS, NodeFacts
from dicomnode.version import MODEL_NAME, VERSION
from dicomnode.worker.loop import LoopPolicy, Signals, WorkerFacts, WorkerLoop
from dicomnode.worker.pipeline import (
    DestinationProfile,
    Listeners,
    Pipeline,
    PipelineSpec,
)
from dicomnode.worker.watched import WatchedPredictor

_log = structlog.get_logger(__name__)

MOST_DECODERS = 8
WATCHDOG_SECONDS = 60.0
"""At least so long nothing may happen before the process counts as hung."""

DEVICE_SECONDS = 30.0
"""How long a worker without its device says so before a new one looks again."""


_TABLES = ("pipeline", "destination", "results", "bundles", "worker")
"""A change of these lets the jobs at hand end, and loads the bundles anew."""


def main(config: Config) -> int:
    """Work until asked to stop; 1 when not one pipeline can be served."""
    loaded = _Loaded()
    return renewed("work", config, _TABLES, loaded.serve, loaded.is_stale)


class _Loaded:
    """Which bundles were loaded: after `model promote` a reload takes others."""

    def __init__(self) -> None:
        self._bundles: tuple[object, ...] = ()

    def serve(self, config: Config, stop: Event) -> int:
        self._bundles = tuple(_on_the_shelf(config))
        return _serve(config, stop)

    def is_stale(self, config: Config) -> bool:
        return tuple(_on_the_shelf(config)) != self._bundles


def _on_the_shelf(config: Config) -> Iterator[object]:
    """Of each pipeline its bundle's folder, and what the site has re-set there."""
    for one in config.pipeline:
        try:
            shadow = one.mode == "shadow"
            folder = wiring.bundle_folder(config, one.bundle, shadow=shadow)
        except ConfigError as error:
            yield str(error)
            continue
        addendum = wiring.bundle_shelf(config).addendum(folder)
        yield folder, addendum, addendum and addendum.stat().st_mtime_ns


def _serve(config: Config, stop: Event) -> int:
    began = monotonic()
    # Before torch has threads, and so that they are ready when the bundles are.
    with opened_decoder(config) as decoder:
        try:
            device = choose_device(config.worker.device)
        except ConfigError as error:
            return _without_device(config, stop, error)
        # Beside a GPU the threads that prepare images are many already.
        limit_threads(config.worker.threads or (0 if device == "cpu" else 1))
        batcher = opened_batcher(config, device)
        pipelines = dict(_pipelines(config, device, decoder, batcher))
        if config.pipeline and not pipelines:
            _log.error("worker.no_pipeline", remedy="see the bundle errors above")
            return 1
        leave_in_peace()
        facts = _facts(device, round(monotonic() - began, 2))
        is_well = _work(config, facts, pipelines, stop)
        if not is_well:
            _end_at_once()
        batcher.close()
    return 0


def _work(
    config: Config, facts: WorkerFacts, pipelines: dict[str, Pipeline], stop: Event
) -> bool:
    """False when this process can do no more."""
    with (
        auditing.audited_role("work", config) as audit,
        wiring.opened_worklist(config) as worklist,
        presence.present("work", worklist, presence.of_worker(config)),
    ):
        loop = WorkerLoop(
            facts,
            pipelines,
            audit.jobs(worklist.jobs, worklist.views),
            SystemClock(),
            _policy(config),
            Signals(alive=watchdog(config.worker.lease_seconds)),
        )
        worklist.wakeups.subscribe(JOB_KINDS, loop.wake)
        _wake_others(config, worklist.wakeups)
        _log.info(
            "worker.ready",
            device=facts.device,
            pipelines=sorted(pipelines),
            warm_seconds=facts.warm_seconds,
        )
        service.ready()
        try:
            with waking.woken(config, "work", loop.wake):
                return loop.run(stop)
        finally:
            faulthandler.cancel_dump_traceback_later()


def _wake_others(config: Config, wakeups: WakeUps) -> None:
    """Whoever delivers, at the commit; the router only if a pipeline may follow.

    Otherwise it would write beside those who deliver, and nobody waits for it.
    """
    wakeups.subscribe(DELIVERY_KINDS, partial(waking.wake, config, "deliver"))
    if any(one.after for one in config.pipeline):
        wakeups.subscribe(ENDED_KINDS, partial(waking.wake, config, "keep"))


def watchdog(lease_seconds: float) -> Callable[[], None]:
    """A function to call in every turn: the process ends when it is not called.

    Native code that hangs may hold the interpreter, so that no thread of ours can
    notice; this one is the interpreter's own, in C. The leases of the jobs are lost by
    then.
    """
    seconds = max(WATCHDOG_SECONDS, 2 * lease_seconds)
    hangs = partial(faulthandler.dump_traceback_later, seconds, exit=True)

    def alive() -> None:
        hangs()
        service.alive()

    return alive


def _end_at_once() -> NoReturn:
    """Without waiting for threads: one of them hangs. The decoders end with us."""
    _log.error("worker.ended", remedy="the supervisor starts a new one")
    sys.stdout.flush()
    os._exit(1)


def _without_device(config: Config, stop: Event, error: ConfigError) -> int:
    """Claim nothing and say so; a new process looks again, as a driver needs."""
    _log.error("worker.no_device", device=config.worker.device, error=str(error))
    facts = _facts(config.worker.device)
    with wiring.opened_worklist(config) as worklist:
        worklist.jobs.heartbeat(
            Worker(
                worker_id=facts.worker_id,
                host=facts.host,
                device=facts.device,
                bundle="",
                state="NO_DEVICE",
                job_id=None,
                heartbeat_at=SystemClock().now(),
            )
        )
        return 0 if stop.wait(DEVICE_SECONDS) else 1


def opened_batcher(config: Config, device: str) -> Batcher:
    """On a GPU one batch is copied while the network runs on another."""
    on_gpu = device != "cpu"
    return Batcher(
        config.worker.batch_size,
        config.worker.batch_wait_ms / 1000.0,
        n_at_once=batches_at_once(device),
        n_preparing=_n_preparing() if on_gpu else 1,
    )


def _n_preparing() -> int:
    """On the CPU the network has the cores, which a GPU leaves to what feeds it."""
    return max(1, min(MOST_DECODERS, (os.cpu_count() or 1) // 2))


@contextmanager
def opened_decoder(config: Config) -> Iterator[DecoderPool]:
    """The decoder processes that the configuration asks for."""
    worker = config.worker
    n_processes = worker.decoders or min(MOST_DECODERS, os.cpu_count() or 1)
    limits = DecodeLimits(
        max_pixels=worker.max_pixels,
        timeout_seconds=worker.decode_timeout_seconds,
        memory_bytes=worker.decode_memory_bytes,
    )
    with DecoderPool(limits, n_processes) as decoder:
        yield decoder


def _pipelines(
    config: Config, device: str, decoder: Decoder, batcher: Batcher
) -> Iterator[tuple[str, Pipeline]]:
    predictors: dict[Path, BundlePredictor] = {}
    for one in config.pipeline:
        try:
            shadow = one.mode == "shadow"
            folder = wiring.bundle_folder(config, one.bundle, shadow=shadow)
            if folder not in predictors:
                predictors[folder] = bundle_predictor(
                    config, folder, device, decoder, batcher
                )
            pipeline = _pipeline(config, one, predictors[folder])
        except ConfigError as error:
            # The other pipelines go on; this one's jobs wait, visibly.
            _log.error("worker.bundle_refused", pipeline=one.name, error=str(error))
            continue
        yield one.name, _rehearsed(pipeline)


def _rehearsed(pipeline: Pipeline) -> Pipeline:
    try:
        pipeline.rehearse(SystemClock().now())
    except ResultError as error:
        # So will its jobs, each with this error; the worker goes on with the others.
        _log.error("worker.no_results", pipeline=pipeline.spec.name, error=str(error))
    return pipeline


def bundle_predictor(
    config: Config,
    folder: Path,
    device: str,
    decoder: Decoder,
    batcher: Batcher | None = None,
) -> BundlePredictor:
    """The bundle in a folder with what this site found out about it."""
    return BundlePredictor(
        folder,
        device,
        site=Site(
            public_key=config.bundles.public_key,
            addendum=wiring.bundle_shelf(config).addendum(folder),
            running=wanted(config),
        ),
        decoder=decoder,
        batcher=batcher,
        views=VIEWS if any("sc" in one.results for one in config.pipeline) else (),
    )


def watched(
    config: Config, pipeline: str, predictor: BundlePredictor
) -> WatchedPredictor | None:
    """With a drift monitor, where the bundle says what home looks like."""
    if predictor.reference is None:
        return None
    folder = config.node.data_dir / "monitor"
    return WatchedPredictor(
        predictor, FileMonitor(folder, pipeline, *predictor.reference)
    )


def _pipeline(
    config: Config, one: PipelineConfig, predictor: BundlePredictor
) -> Pipeline:
    told = Listeners(partial(waking.announce, config, "deliver"))
    watching = watched(config, one.name, predictor)
    if watching is not None:
        told = replace(told, ended=watching.settle)
    return Pipeline(
        _spec(config, one),
        watching or predictor,
        storing.open_store(config),
        storing.open_results_store(config),
        node_facts(config),
        told,
    )


def _spec(config: Config, one: PipelineConfig) -> PipelineSpec:
    profiles = {other.name: other.profile for other in config.destination}
    return PipelineSpec(
        rule=wiring.rule_of(one),
        result_kinds=one.results,
        destinations=tuple(
            DestinationProfile(name, profiles[name]) for name in one.destinations
        ),
        shadow=one.mode == "shadow",
        heat_map=one.heat_map,
        language=config.results.language,
        code_scheme=config.results.code_scheme,
    )


def node_facts(config: Config) -> NodeFacts:
    """Who results say made them."""
    return NodeFacts(
        manufacturer=MANUFACTURER,
        model_name=MODEL_NAME,
        software_version=VERSION,
        device_serial_number=config.node.ae_title,
        station_name=config.node.ae_title,
    )


def _facts(device: str, warm_seconds: float | None = None) -> WorkerFacts:
    host = socket.gethostname()
    worker_id = f"{host}-{os.getpid()}-{uuid4().hex[:8]}"
    return WorkerFacts(worker_id, host, device, warm_seconds)


def _policy(config: Config) -> LoopPolicy:
    worker = config.worker
    return LoopPolicy(
        lease_seconds=worker.lease_seconds,
        heartbeat_seconds=worker.heartbeat_seconds,
        poll_seconds=worker.poll_seconds,
        retry_seconds=worker.retry_seconds,
        timeout_seconds=worker.timeout_seconds,
        concurrent_jobs=worker.concurrent_jobs,
        series_jobs=worker.series_jobs,
    )
