"""The worker process: warm bundles, one loop."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path
from threading import Event
from uuid import uuid4

import structlog

from dicomnode.config import Config
from dicomnode.config import Pipeline as PipelineConfig
from dicomnode.domain.ownership import MANUFACTURER
from dicomnode.errors import ConfigError
from dicomnode.monitoring import FileMonitor
from dicomnode.ports import Predictor
from dicomnode.predictor import BundlePredictor, choose_device, limit_threads
from dicomnode.processes import auditing, wiring
from dicomnode.processes.clock import SystemClock
from dicomnode.processes.role import role
from dicomnode.results import NodeFacts
from dicomnode.version import MODEL_NAME, VERSION
from dicomnode.worker.loop import LoopPolicy, WorkerFacts, WorkerLoop
from dicomnode.worker.pipeline import DestinationProfile, Pipeline, PipelineSpec
from dicomnode.worker.watched import WatchedPredictor

_log = structlog.get_logger(__name__)


def main(config: Config) -> int:
    """Work until asked to stop; 1 when not one pipeline can be served."""
    with role("work", config) as stop:
        return _serve(config, stop)


def _serve(config: Config, stop: Event) -> int:
    limit_threads(config.worker.threads)
    device = choose_device(config.worker.device)
    pipelines = dict(_pipelines(config, device))
    if config.pipeline and not pipelines:
        _log.error("worker.no_pipeline", remedy="see the bundle errors above")
        return 1
    with (
        auditing.audited_role("work", config) as audit,
        wiring.opened_worklist(config) as worklist,
    ):
        jobs = audit.jobs(worklist.jobs, worklist.views)
        loop = WorkerLoop(
            _facts(device), pipelines, jobs, SystemClock(), _policy(config)
        )
        _log.info("worker.ready", device=device, pipelines=sorted(pipelines))
        if loop.run(stop):
            return 0
    _log.error("worker.hangs", remedy="the supervisor starts a new one")
    return 1


def _pipelines(config: Config, device: str) -> Iterator[tuple[str, Pipeline]]:
    predictors: dict[Path, BundlePredictor] = {}
    for one in config.pipeline:
        try:
            shadow = one.mode == "shadow"
            folder = wiring.bundle_folder(config, one.bundle, shadow=shadow)
            if folder not in predictors:
                predictors[folder] = bundle_predictor(config, folder, device)
            watched = _watched(config, one.name, predictors[folder])
        except ConfigError as error:
            # The other pipelines go on; this one's jobs wait, visibly.
            _log.error("worker.bundle_refused", pipeline=one.name, error=str(error))
            continue
        yield one.name, _pipeline(config, one, watched)


def bundle_predictor(config: Config, folder: Path, device: str) -> BundlePredictor:
    """The bundle in a folder with what this site found out about it."""
    return BundlePredictor(
        folder,
        device,
        public_key=config.bundles.public_key,
        addendum=wiring.bundle_shelf(config).addendum(folder),
    )


def _watched(config: Config, pipeline: str, predictor: BundlePredictor) -> Predictor:
    """With a drift monitor, where the bundle says what home looks like."""
    if predictor.reference is None:
        return predictor
    folder = config.node.data_dir / "monitor"
    return WatchedPredictor(
        predictor, FileMonitor(folder, pipeline, *predictor.reference)
    )


def _pipeline(config: Config, one: PipelineConfig, predictor: Predictor) -> Pipeline:
    return Pipeline(
        _spec(config, one),
        predictor,
        wiring.open_store(config),
        wiring.open_results_store(config),
        node_facts(config),
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


def _facts(device: str) -> WorkerFacts:
    host = socket.gethostname()
    worker_id = f"{host}-{os.getpid()}-{uuid4().hex[:8]}"
    return WorkerFacts(worker_id=worker_id, host=host, device=device)


def _policy(config: Config) -> LoopPolicy:
    worker = config.worker
    return LoopPolicy(
        lease_seconds=worker.lease_seconds,
        heartbeat_seconds=worker.heartbeat_seconds,
        poll_seconds=worker.poll_seconds,
        retry_seconds=worker.retry_seconds,
        timeout_seconds=worker.timeout_seconds,
    )
