"""The full screen of `top`: looks again, draws, listens to keys."""

from __future__ import annotations

import os
import select
import signal
import sys
import termios
import time
import tty
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from types import FrameType
from typing import TYPE_CHECKING

from rich.console import Console
from rich.live import Live

from dicomnode.cli import feed
from dicomnode.cli.frame import Shot, View, drawn
from dicomnode.health.activity import WINDOW_SECONDS, Activity
from dicomnode.health.looking import Surroundings, look, surroundings
from dicomnode.views import Views

if TYPE_CHECKING:
    from dicomnode.config import Config

REFRESH_SECONDS = 1.0
_SHARE = 5
"""A look that takes long is taken less often: it may use 1/5 of the time at most."""
_FAILURES = 200
_KEYS = {b"\x1b[A": -1, b"\x1bOA": -1, b"k": -1, b"\x1b[B": 1, b"\x1bOB": 1, b"j": 1}
_SCREENFUL = 16


class Watch:
    """Looks at the views again when they have changed, and not all the time."""

    def __init__(self, views: Views, config: Config) -> None:
        self._views = views
        self._around: Surroundings = surroundings(config)
        self._ae_title = config.node.ae_title
        self._activity = Activity()
        self._mark: object = None
        self._shot: Shot | None = None
        self._due = 0.0
        self._seq = 0

    def shot(self) -> Shot:
        """How things stand; asks the database only when a commit has changed it."""
        now = datetime.now(UTC)
        mark = self._views.mark()
        if self._shot is None or self._is_due(mark):
            self._mark, began = mark, time.monotonic()
            self._shot = self._look(now)
            took = time.monotonic() - began
            self._due = began + max(REFRESH_SECONDS, _SHARE * took)
        snapshot = replace(self._shot.snapshot, now=now)
        return replace(self._shot, snapshot=snapshot)

    def _is_due(self, mark: object) -> bool:
        changed = mark is None or mark != self._mark
        return changed and time.monotonic() >= self._due

    def _look(self, now: datetime) -> Shot:
        hour = now - timedelta(hours=1)
        self._activity.see_studies(self._views.volumes(hour), now)
        self._activity.see_events(self._new_events(now))
        return Shot(
            ae_title=self._ae_title,
            snapshot=look(self._views, now, self._around),
            senders=self._views.senders(hour),
            callers=self._views.callers(hour),
            unsent=self._views.unsent(),
            failures=self._views.worklist(state="FAILED", limit=_FAILURES),
            jobs=self._jobs_in_hand(),
            activity=self._activity,
        )

    def _new_events(self, now: datetime) -> Iterator[feed.Record]:
        if not self._seq:
            since = now - timedelta(seconds=WINDOW_SECONDS)
            found: Iterator[feed.Record] = feed.since(
                self._views, since, lambda _event: True
            )
            self._seq = self._views.last_seq()
        else:
            found = feed.after(self._views, self._seq)
        for event in found:
            self._seq = max(self._seq, event["seq"])
            yield event

    def _jobs_in_hand(self) -> dict[str, feed.Record]:
        rows = self._views.worklist(state="IN_PROGRESS")
        return {row["job_id"]: row for row in rows}


def print_one(watch: Watch) -> None:
    """One frame, on whatever standard output is."""
    console = Console(highlight=False)
    console.print(drawn(watch.shot(), View(), console.width))


@dataclass(slots=True)
class _Hands:
    """What the keys have set."""

    view: View
    quits: bool = False

    def press(self, keys: bytes) -> None:
        if keys in (b"q", b"Q"):
            self.quits = True
        elif keys in (b"p", b" "):
            self.view = replace(self.view, paused=not self.view.paused)
        elif keys in _KEYS:
            scrolled = max(0, self.view.first_failure + _KEYS[keys])
            self.view = replace(self.view, first_failure=scrolled)


def live(watch: Watch) -> None:
    """Frame after frame, until q or a signal."""
    console = Console(highlight=False)
    hands, shot = _Hands(View()), watch.shot()
    with (
        _unbuffered_keys() as descriptor,
        Live(console=console, screen=True, auto_refresh=False) as screen,
    ):
        while not hands.quits:
            if not hands.view.paused:
                shot = watch.shot()
            screen.update(drawn(shot, hands.view, console.width), refresh=True)
            if select.select([descriptor], [], [], REFRESH_SECONDS)[0]:
                keys = os.read(descriptor, _SCREENFUL)
                # A terminal that is gone reads as its end.
                hands.quits = not keys
                hands.press(keys)


@contextmanager
def _unbuffered_keys() -> Iterator[int]:
    """Single keys, unseen, until the end, however it comes; the descriptor to read."""
    descriptor = sys.stdin.fileno()
    before = termios.tcgetattr(descriptor)
    handler = signal.signal(signal.SIGTERM, _end)
    try:
        tty.setcbreak(descriptor)
        yield descriptor
    finally:
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)
        signal.signal(signal.SIGTERM, handler)


def _end(_signal: int, _frame: FrameType | None) -> None:
    # As Ctrl-C: the screen is given back on the way out.
    raise KeyboardInterrupt
