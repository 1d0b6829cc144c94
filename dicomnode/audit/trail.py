"""The trail of one process: takes messages at once, writes and sends them behind.

Whoever emits never waits and never fails: a full disk or an absent collector must not
keep a study from being received. What cannot be written waits in memory, up to a bound;
what was dropped beyond it is itself reported when writing works again.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Protocol

import structlog

from dicomnode.audit import codes, events, syslog
from dicomnode.audit.encoding import encode
from dicomnode.audit.events import Alert, Node
from dicomnode.audit.forwarding import Forwarder
from dicomnode.audit.journal import Journal
from dicomnode.audit.message import AuditMessage, Outcome, Source

_log = structlog.get_logger(__name__)

WAITING = 20_000
"""Messages that wait in memory for the disk, about 30 MB."""
TICK_SECONDS = 1.0
LONGEST_PAUSE_SECONDS = 60.0
ONE_HOUR = timedelta(hours=1)

Now = Callable[[], datetime]


class Emitter(Protocol):
    """Who takes audit messages."""

    def emit(self, message: AuditMessage) -> None:
        """Take a message; returns at once and never raises."""
        ...


class Gatherer(Protocol):
    """Who makes one message of many events, and says when it is time for it."""

    def due(self, now: datetime) -> Sequence[AuditMessage]:
        """Messages whose time has come."""
        ...

    def rest(self, now: datetime) -> Sequence[AuditMessage]:
        """All the others, because the process ends."""
        ...


class Silent:
    """The trail of a node that keeps none."""

    def emit(self, message: AuditMessage) -> None:
        """Nothing."""


@dataclass(frozen=True, slots=True)
class Keeping:
    """Where the trail goes; ``keep_days`` 0: segments stay for ever."""

    journal: Journal
    source: Source
    forwarder: Forwarder | None = None
    keep_days: float = 0


@dataclass
class Trail:
    """An Emitter with a thread that writes and, with a forwarder, one that sends."""

    node: Node
    keeping: Keeping
    now: Now
    gatherers: Sequence[Gatherer] = ()
    _waiting: list[AuditMessage] = field(default_factory=list)
    _n_dropped: int = 0
    _failing: bool = False
    _reachable: bool = True
    _wake: threading.Condition = field(default_factory=threading.Condition)
    _stop: threading.Event = field(default_factory=threading.Event)
    _threads: list[threading.Thread] = field(default_factory=list)

    def start(self) -> None:
        """Write, and send, from now on."""
        bodies = [self._keep_writing]
        if self.keeping.forwarder is not None:
            bodies.append(self._keep_sending)
        for body in bodies:
            thread = threading.Thread(target=body, name="audit", daemon=True)
            self._threads.append(thread)
            thread.start()

    def emit(self, message: AuditMessage) -> None:
        """Take a message; returns at once and never raises."""
        with self._wake:
            if len(self._waiting) >= WAITING:
                self._n_dropped += 1
            else:
                self._waiting.append(message)
            self._wake.notify()

    def close(self) -> None:
        """Write what waits, and try once to send it."""
        self._stop.set()
        with self._wake:
            self._wake.notify()
        for thread in self._threads:
            thread.join()
        now = self.now()
        for gatherer in self.gatherers:
            for message in gatherer.rest(now):
                self.emit(message)
        self._write()
        # A collector that is away would only delay the end; what waits follows later.
        if self.keeping.forwarder is not None and self._reachable:
            self._send(self.keeping.forwarder)

    def _keep_writing(self) -> None:
        forget_at = self.now()
        while not self._stop.is_set():
            if self.now() >= forget_at:
                self._forget()
                forget_at = self.now() + ONE_HOUR
            with self._wake:
                if not self._waiting or self._failing:
                    self._wake.wait(TICK_SECONDS)
            now = self.now()
            for gatherer in self.gatherers:
                for message in gatherer.due(now):
                    self.emit(message)
            self._write()

    def _write(self) -> None:
        with self._wake:
            batch, self._waiting = self._waiting, []
        if not batch:
            return
        try:
            self.keeping.journal.append(self._lines(batch))
        except OSError as error:
            self._put_back(batch)
            self._say_failing(error)
            return
        if self._failing:
            self._recover()

    def _put_back(self, batch: list[AuditMessage]) -> None:
        with self._wake:
            all_ = batch + self._waiting
            self._waiting = all_[:WAITING]
            self._n_dropped += len(all_) - len(self._waiting)

    def _say_failing(self, error: OSError) -> None:
        if not self._failing:
            _log.error(
                "audit.not_recorded",
                error=error.strerror,
                n_waiting=len(self._waiting),
                remedy=f"make room or give access to {self.keeping.journal.folder}; "
                "the messages wait in memory",
            )
        self._failing = True

    def _recover(self) -> None:
        self._failing = False
        with self._wake:
            dropped, self._n_dropped = self._n_dropped, 0
        _log.info("audit.recorded_again", n_dropped=dropped)
        if dropped:
            text = f"{dropped} audit messages could not be recorded and are lost"
            alert = Alert(codes.RECORDING_STOPPED, text, Outcome.SERIOUS_FAILURE)
            by = (self.node.participant(),)
            uri = self.keeping.journal.folder.resolve().as_uri()
            self.emit(events.security_alert(by, alert, uri, self.now()))

    def _lines(self, messages: Iterable[AuditMessage]) -> list[bytes]:
        source, node = self.keeping.source, self.node
        return [
            syslog.line_of(encode(one, source), one.at, node.host, node.pid)
            for one in messages
        ]

    def _keep_sending(self) -> None:
        pause = TICK_SECONDS
        forwarder = self.keeping.forwarder
        while forwarder is not None and not self._stop.wait(pause):
            well = self._send(forwarder)
            pause = TICK_SECONDS if well else min(pause * 2, LONGEST_PAUSE_SECONDS)

    def _send(self, forwarder: Forwarder) -> bool:
        try:
            while forwarder.run_once():
                pass
        except OSError as error:
            _log.warning(
                "audit.not_sent",
                error_type=type(error).__name__,
                error=error.strerror or str(error),
                remedy="check [audit.syslog] and the collector; nothing is lost, the "
                "messages follow",
            )
            self._reachable = False
        else:
            self._reachable = True
        return self._reachable

    def _forget(self) -> None:
        days, forwarder = self.keeping.keep_days, self.keeping.forwarder
        if not days:
            return
        with suppress(OSError):  # what could not be removed is tried again
            before = (self.now() - timedelta(days=days)).timestamp()
            sent = forwarder.sent() if forwarder else None
            self.keeping.journal.forget(before, sent)
