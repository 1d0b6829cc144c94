"""The deliverer: one thread for each destination, so that none holds up another."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from threading import Event, Thread
from typing import Protocol

import structlog

from dicomnode.config import Config, Destination
from dicomnode.delivery.commitment_scu import CommitmentScu
from dicomnode.delivery.confirmation import Confirmer, ConfirmPolicy
from dicomnode.delivery.outbox import Courier, RetryPolicy
from dicomnode.domain.commitment import CommitmentAnswer
from dicomnode.errors import WorklistError
from dicomnode.ports import Sender
from dicomnode.ports.waking import DELIVERY_KINDS
from dicomnode.processes import auditing, presence, service, storing, waking, wiring
from dicomnode.processes.clock import SystemClock
from dicomnode.processes.renewal import renewed
from dicomnode.processes.role import asked_to_stop
from dicomnode.processes.senders import open_sender, peer_of, timeout_seconds
from dicomnode.processes.service import Pulse
from dicomnode.worklist import Worklist

_log = structlog.get_logger(__name__)

HANGS_SECONDS = 900.0
"""At least; a batch of results is many messages, each with its own time limit."""
_TIMEOUTS = 20


_TABLES = ("destination", "delivery")
"""A change of these begins the work of this role anew."""


def main(config: Config) -> int:
    """Deliver until asked to stop; what is being sent is finished first.

    1 when a destination's thread has died, or the disk under the worklist has failed.
    """
    return renewed("deliver", config, _TABLES, _deliver)


def _deliver(config: Config, stop: Event) -> int:
    with (
        auditing.audited_role("deliver", config) as audit,
        wiring.opened_worklist(config) as worklist,
        presence.present("deliver", worklist),
    ):
        ours = config.result_destinations
        rests = [Rest(config.delivery.poll_seconds, stop) for _ in ours]
        pulse = Pulse(_hangs_seconds(config))
        idle_seconds = config.delivery.idle_seconds
        scus = [open_sender(one, config, idle_seconds) for one in ours]
        threads = [
            _start(
                _rounds(config, one, worklist, audit.sender(scu, one)),
                rest,
                partial(pulse.beat, one.name),
            )
            for one, scu, rest in zip(ours, scus, rests, strict=True)
        ]

        def wake() -> None:
            for rest in rests:
                rest.end()

        worklist.wakeups.subscribe(DELIVERY_KINDS, wake)
        service.ready()
        with waking.woken(config, "deliver", wake):
            well = asked_to_stop(
                stop,
                lambda: worklist.is_sound and all(one.is_alive() for one in threads),
                pulse,
            )
        stop.set()
        wake()
        for thread, scu in zip(threads, scus, strict=True):
            thread.join()
            scu.close()
    return 0 if well else 1


def _hangs_seconds(config: Config) -> float:
    longest = max(
        (timeout_seconds(one, config) for one in config.result_destinations),
        default=0.0,
    )
    return max(HANGS_SECONDS, _TIMEOUTS * longest)


class _Round(Protocol):
    """Courier or Confirmer: work through what is due for one destination."""

    destination: str

    def run_once(self) -> int:
        """How much there was to do."""
        ...


def _rounds(
    config: Config, destination: Destination, worklist: Worklist, sender: Sender
) -> tuple[_Round, ...]:
    courier = _courier(config, destination, worklist, sender)
    if destination.storage_commitment == "off":
        return (courier,)
    return courier, _confirmer(config, destination, worklist)


def _courier(
    config: Config, destination: Destination, worklist: Worklist, sender: Sender
) -> Courier:
    return Courier(
        destination.name,
        worklist.outbox,
        storing.open_results_store(config),
        sender,
        SystemClock(),
        RetryPolicy(
            retry_seconds=config.delivery.retry_seconds,
            lease_seconds=_lease_seconds(config, destination),
            confirm=destination.storage_commitment != "off",
        ),
    )


def _confirmer(
    config: Config, destination: Destination, worklist: Worklist
) -> Confirmer:
    clock = SystemClock()

    def note(answer: CommitmentAnswer) -> bool:
        return worklist.commitments.answer(answer, clock.now())

    return Confirmer(
        destination.name,
        worklist.commitments,
        worklist.absences,
        CommitmentScu(peer_of(destination, config), note),
        clock,
        ConfirmPolicy(
            retry_seconds=config.delivery.retry_seconds,
            required=destination.storage_commitment == "required",
            timeout_seconds=destination.commitment_timeout_seconds,
            lease_seconds=_lease_seconds(config, destination),
        ),
    )


def _lease_seconds(config: Config, destination: Destination) -> float:
    # Too short a claim only sends an object twice, under the same UID; too long a one
    # delays what a killed deliverer left.
    return 2 * timeout_seconds(destination, config)


class Rest:
    """What a thread does while nothing is due: until the time is over, or its end."""

    def __init__(self, seconds: float, stop: Event) -> None:
        self._seconds = seconds
        self._stop = stop
        self._ended = Event()

    @property
    def is_for_good(self) -> bool:
        """Whether there will be no more work."""
        return self._stop.is_set()

    def end(self) -> None:
        """Something may be due, or there will be no more work."""
        self._ended.set()

    def take(self) -> None:
        """Rest; one that was ended before it began is over at once."""
        self._ended.wait(self._seconds)
        self._ended.clear()


def _start(rounds: Sequence[_Round], rest: Rest, turned: Callable[[], None]) -> Thread:
    thread = Thread(target=_run, args=(rounds, rest, turned))
    thread.start()
    return thread


def _run(rounds: Sequence[_Round], rest: Rest, turned: Callable[[], None]) -> None:
    while not rest.is_for_good:
        turned()
        if not sum(_tried(one) for one in rounds):
            rest.take()


def _tried(one: _Round) -> int:
    try:
        return one.run_once()
    except WorklistError as error:
        _log.error(
            "delivery.no_worklist", destination=one.destination, error=str(error)
        )
        return 0
