"""The deliverer: threads for each destination, so that none holds up another."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
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
from dicomnode.ports.waking import DELIVERY_KINDS, SENT_KINDS
from dicomnode.processes import auditing, presence, service, storing, waking, wiring
from dicomnode.processes.auditing import Auditor
from dicomnode.processes.clock import SystemClock
from dicomnode.processes.memory import leave_in_peace
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
        ExitStack() as senders,
    ):
        pulse = Pulse(_hangs_seconds(config))
        lanes = list(_lanes(config, stop, worklist, audit, senders))
        threads = [_start(one, partial(pulse.beat, one.name)) for one in lanes]
        for one in lanes:
            worklist.wakeups.subscribe(one.wakened_by, one.rest.end)
        sending = [one for one in lanes if one.sends]
        wake, soon = partial(_wake, sending), partial(_foresee, sending)
        service.ready()
        leave_in_peace()
        with waking.woken(config, "deliver", wake, soon):
            well = asked_to_stop(
                stop,
                lambda: worklist.is_sound and all(one.is_alive() for one in threads),
                pulse,
            )
        stop.set()
        _wake(lanes)
        for thread in threads:
            thread.join()
    return 0 if well else 1


def _wake(lanes: Sequence[_Lane]) -> None:
    for one in lanes:
        one.rest.end()


def _foresee(lanes: Sequence[_Lane], destinations: Collection[str]) -> None:
    for one in lanes:
        if one.destination in destinations:
            one.rest.foresee()


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


class Rest:
    """What a thread does while nothing is due: until the time is over, or its end."""

    def __init__(self, seconds: float, stop: Event) -> None:
        self._seconds = seconds
        self._stop = stop
        self._ended = Event()
        self._foreseen = Event()

    @property
    def is_for_good(self) -> bool:
        """Whether there will be no more work."""
        return self._stop.is_set()

    def end(self) -> None:
        """Something may be due, or there will be no more work."""
        self._ended.set()

    def foresee(self) -> None:
        """Something will be due in a moment."""
        self._foreseen.set()
        self.end()

    def was_foreseen(self) -> bool:
        """Whether that was said since the last time."""
        said = self._foreseen.is_set()
        self._foreseen.clear()
        return said

    def take(self) -> None:
        """Rest; one that was ended before it began is over at once."""
        self._ended.wait(self._seconds)
        self._ended.clear()


@dataclass(frozen=True, slots=True)
class _Lane:
    """What one thread does for one destination, in turns.

    ``prepare``: what may be done before there is anything to do.
    """

    name: str
    destination: str
    rounds: Sequence[_Round]
    rest: Rest
    wakened_by: Collection[str]
    sends: bool = True
    prepare: Callable[[], None] = lambda: None


def _lanes(
    config: Config,
    stop: Event,
    worklist: Worklist,
    audit: Auditor,
    senders: ExitStack,
) -> Iterator[_Lane]:
    """Sending, and finding out what is kept; two threads unless two are too many.

    An answer to a request for storage commitment is waited for, and meanwhile there may
    be the next result to send.
    """
    for one in config.result_destinations:
        scu = open_sender(one, config, config.delivery.idle_seconds)
        senders.callback(scu.close)
        courier = _courier(config, one, worklist, audit.sender(scu, one))
        checks = one.storage_commitment != "off"
        confirming = [_confirmer(config, one, worklist)] if checks else []
        together = not config.delivery.idle_seconds
        rounds = (courier, *(confirming if together else ()))
        rest = Rest(config.delivery.poll_seconds, stop)
        yield _Lane(
            one.name, one.name, rounds, rest, DELIVERY_KINDS, prepare=scu.prepare
        )
        if confirming and not together:
            rest = Rest(config.delivery.poll_seconds, stop)
            name = f"{one.name} storage commitment"
            yield _Lane(name, one.name, confirming, rest, SENT_KINDS, sends=False)


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


def _start(lane: _Lane, turned: Callable[[], None]) -> Thread:
    thread = Thread(target=_run, args=(lane, turned), name=lane.name)
    thread.start()
    return thread


def _run(lane: _Lane, turned: Callable[[], None]) -> None:
    while not lane.rest.is_for_good:
        turned()
        if not sum(_tried(one) for one in lane.rounds):
            lane.rest.take()
        if lane.rest.was_foreseen():
            lane.prepare()


def _tried(one: _Round) -> int:
    try:
        return one.run_once()
    except WorklistError as error:
        _log.error(
            "delivery.no_worklist", destination=one.destination, error=str(error)
        )
        return 0
