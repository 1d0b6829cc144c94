"""A configuration that is read again while the process runs, on SIGHUP."""

from __future__ import annotations

from collections.abc import Callable, Collection
from threading import Event, Lock

import structlog

from dicomnode.config import Config, Taken, load, take
from dicomnode.errors import ConfigError
from dicomnode.processes import lock
from dicomnode.processes.role import role

_log = structlog.get_logger(__name__)


class Renewal:
    """The configuration in force. A wrong file changes nothing, and the log says so."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self._asked = Event()
        self._lock = Lock()

    def ask(self) -> None:
        """Read it again at the next ``taken``."""
        self._asked.set()

    @property
    def is_asked(self) -> bool:
        """Whether somebody has asked since the last look."""
        return self._asked.is_set()

    def taken(self) -> Taken | None:
        """What is new, once for each asking; None when there is nothing."""
        if not self._asked.is_set():
            return None
        try:
            return self.take()
        except ConfigError:
            return None

    def take(self) -> Taken:
        """Read the file; raises ConfigError, and what was in force stays so."""
        self._asked.clear()
        with self._lock:
            try:
                found = take(self.config, load(self.config.file))
            except ConfigError as error:
                _log.error("config.refused", error=str(error))
                raise
            self.config = found.config
        _log.info(
            "config.taken", changed=list(found.changed), waiting=list(found.waiting)
        )
        return found

    def applied(self) -> None:
        """Say that what was taken is in force, for who waits for it."""
        lock.took(self.config.node.data_dir)


class Turns:
    """Ends a role's body for good, or only to begin it again with what is new."""

    def __init__(self, stop: Event) -> None:
        self.stop = stop
        self._lock = Lock()
        self._ended = self._again = False

    def end(self) -> None:
        """Stop for good."""
        with self._lock:
            self._ended = True
            self.stop.set()

    def begin_again(self) -> None:
        """Stop, to go on."""
        with self._lock:
            self._again = True
            self.stop.set()

    def is_another(self) -> bool:
        """Whether to go on; ``stop`` is clear again then."""
        with self._lock:
            if self._ended or not self._again:
                return False
            self._again = False
            self.stop.clear()
            return True


def renewed(
    name: str,
    config: Config,
    tables: Collection[str],
    serve: Callable[[Config, Event], int],
    is_stale: Callable[[Config], bool] = lambda _config: False,
) -> int:
    """Run a role whose body ends in order, and begin it again when ``tables`` change.

    ``serve`` is given the configuration in force and the event that ends it;
    ``is_stale`` says whether something beside the file has changed that it goes by.
    """
    renewal = Renewal(config)
    turns = Turns(Event())

    def reload() -> None:
        renewal.ask()
        found = renewal.taken()
        if found is None:
            return
        if found.touches(tables) or is_stale(renewal.config):
            turns.begin_again()
        else:
            renewal.applied()

    with role(name, config, reload, turns.end):
        code = serve(renewal.config, turns.stop)
        while turns.is_another():
            renewal.applied()
            code = serve(renewal.config, turns.stop)
    return code
