"""The deliverer: one thread for each destination, so that none holds up another."""

from __future__ import annotations

from threading import Event, Thread

import structlog

from dicomnode.config import Config, Destination
from dicomnode.delivery.outbox import Courier, RetryPolicy
from dicomnode.errors import WorklistError
from dicomnode.processes import wiring
from dicomnode.processes.clock import SystemClock
from dicomnode.processes.role import asked_to_stop, role
from dicomnode.processes.senders import open_sender, timeout_seconds
from dicomnode.worklist import Worklist

_log = structlog.get_logger(__name__)


def main(config: Config) -> int:
    """Deliver until asked to stop; what is being sent is finished first.

    1 when a destination's thread has died.
    """
    with role("deliver", config) as stop, wiring.opened_worklist(config) as worklist:
        threads = [
            _start(_courier(config, one, worklist), config.delivery.poll_seconds, stop)
            for one in config.destination
        ]
        well = asked_to_stop(stop, lambda: all(one.is_alive() for one in threads))
        stop.set()
        for thread in threads:
            thread.join()
    return 0 if well else 1


def _courier(config: Config, destination: Destination, worklist: Worklist) -> Courier:
    return Courier(
        destination.name,
        worklist.outbox,
        wiring.open_results_store(config),
        open_sender(destination, config),
        SystemClock(),
        RetryPolicy(
            retry_seconds=config.delivery.retry_seconds,
            # Too short a claim only sends an object twice, under the same UID; too
            # long a one delays what a killed deliverer left.
            lease_seconds=2 * timeout_seconds(destination, config),
        ),
    )


def _start(courier: Courier, poll_seconds: float, stop: Event) -> Thread:
    thread = Thread(target=_run, args=(courier, poll_seconds, stop))
    thread.start()
    return thread


def _run(courier: Courier, poll_seconds: float, stop: Event) -> None:
    while not stop.is_set():
        if not _tried(courier):
            stop.wait(poll_seconds)


def _tried(courier: Courier) -> int:
    try:
        return courier.run_once()
    except WorklistError as error:
        _log.error(
            "delivery.no_worklist", destination=courier.destination, error=str(error)
        )
        return 0
