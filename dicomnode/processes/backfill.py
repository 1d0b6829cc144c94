"""A backfill: an archive is asked for its history, and the receiver takes it."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from uuid import uuid4

from pydicom.uid import ImplicitVRLittleEndian

from dicomnode.audit.events import Query
from dicomnode.backfiller import Backfiller, BackfillPolicy, Surroundings
from dicomnode.config import Config, Destination
from dicomnode.delivery.query_scu import FIND, checked, encoded
from dicomnode.domain.backfill import Backfill, FoundStudy, NewBackfill, RunState
from dicomnode.errors import ConfigError
from dicomnode.ports import InstanceStore
from dicomnode.processes import auditing, fetching, storing, wiring
from dicomnode.processes.clock import SystemClock
from dicomnode.processes.role import role
from dicomnode.worklist import Worklist

POLL_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Wish:
    """What the command asks for; ``resume`` "" begins a new backfill."""

    archive: Destination
    name: str
    """What to find the archive by when the backfill is resumed."""
    query: Mapping[str, str]
    limit: int = 0
    per_hour: float = 0.0
    resume: str = ""
    by: str = ""


def found(config: Config, wish: Wish) -> Iterator[FoundStudy]:
    """What the archive has, nothing of it brought in; raises DeliveryError."""
    yield from fetching.finder(config, wish.archive).find(wish.query)


def main(config: Config, wish: Wish) -> RunState:
    """Bring studies in until all are done with, or we are asked to stop.

    Raises ConfigError, DeliveryError, WorklistError.
    """
    admitted(config, wish.archive)
    checked(wish.query)
    with (
        role("backfill", config) as stop,
        auditing.audited_command("backfill", config) as audit,
        wiring.opened_worklist(config, checked=False) as worklist,
        fetching.opened_archive(
            config, wish.archive, worklist, audit.intake(worklist.intake)
        ) as archive,
    ):
        around = Surroundings(
            wait=stop.wait,
            has_room=lambda: has_room(config, store),
            clock=SystemClock(),
            holder=f"{socket.gethostname()}-{os.getpid()}-{uuid4().hex[:8]}",
        )
        store = storing.open_store(config)
        backfill = _begun(worklist, wish, around)
        return Backfiller(
            backfill,
            audit.archive(archive, wish.archive, _as_asked),
            worklist.backfills,
            worklist.desk,
            policy(config, wish.per_hour),
            around,
        ).run()


@contextmanager
def opened(config: Config) -> Iterator[Worklist]:
    """The worklist, for those who look and stop."""
    with wiring.opened_worklist(config, checked=False) as worklist:
        yield worklist


def policy(config: Config, per_hour: float) -> BackfillPolicy:
    """What the configuration allows."""
    return BackfillPolicy(
        studies_in_flight=config.backfill.studies_in_flight,
        max_waiting_jobs=config.backfill.max_waiting_jobs,
        poll_seconds=POLL_SECONDS,
        retry_seconds=config.backfill.retry_seconds,
        per_hour=per_hour,
    )


def has_room(config: Config, store: InstanceStore) -> bool:
    """Whether the disk is well below the watermark, where live studies are refused."""
    margin = config.backfill.watermark_margin_percent
    return store.usage().used_percent < config.store.watermark_percent - margin


def admitted(config: Config, archive: Destination) -> None:
    """Raises ConfigError when our receiver would refuse what the archive sends."""
    if archive.retrieve != "c-move":
        return  # nothing is sent to us unasked
    known = {one.ae_title for one in config.peer}
    if config.receiver.unknown_peers == "accept" or archive.ae_title in known:
        return
    raise ConfigError(
        f"{archive.ae_title} is no [[peer]], so our receiver would refuse what it "
        f'sends; add [[peer]] ae_title = "{archive.ae_title}" '
        f'hosts = ["{archive.host}"]'
    )


def _begun(worklist: Worklist, wish: Wish, around: Surroundings) -> Backfill:
    now = around.clock.now()
    if wish.resume:
        return worklist.backfills.take(wish.resume, around.holder, now, wish.by)
    new = NewBackfill(uuid4().hex[:8], wish.name, wish.query, wish.limit)
    return worklist.backfills.start(new, around.holder, now, wish.by)


def _as_asked(query: Mapping[str, str]) -> Query:
    return Query(FIND, encoded(query), str(ImplicitVRLittleEndian))
