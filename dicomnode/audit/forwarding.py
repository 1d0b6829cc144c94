"""The trail to a syslog collector: in order, from where the last sending ended.

The journal itself is the spool. One process of a machine sends at a time; which one is
a matter of who comes first, so the trail flows while any role runs.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from dicomnode.audit.journal import Journal, Position

BATCH = 200

Send = Callable[[Sequence[bytes]], None]


class Forwarder:
    """Sends what the journal has and the collector has not."""

    def __init__(self, journal: Journal, send: Send) -> None:
        self._journal = journal
        self._send = send
        self._state = journal.folder / "sent.json"

    def run_once(self) -> int:
        """Send one batch; how many messages. Raises OSError when they do not arrive."""
        if not self._journal.folder.is_dir():
            return 0
        with self._alone() as alone:
            if not alone:
                return 0
            lines, end = self._journal.read(self.sent(), BATCH)
            if lines:
                self._send(lines)
                self._note(end)
            return len(lines)

    def sent(self) -> Position:
        """How far the collector has the trail."""
        try:
            state = json.loads(self._state.read_text("utf-8"))
            return Position(int(state["segment"]), int(state["offset"]))
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            # Lost or damaged: all that is kept is sent again rather than none of it.
            return Position()

    def _note(self, end: Position) -> None:
        text = json.dumps({"segment": end.segment, "offset": end.offset})
        new = self._state.with_suffix(".part")
        with new.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        new.replace(self._state)

    @contextmanager
    def _alone(self) -> Iterator[bool]:
        with _opened(self._journal.folder / "sending") as descriptor:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield False
            else:
                yield True


@contextmanager
def _opened(path: Path) -> Iterator[int]:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o640)
    try:
        yield descriptor
    finally:
        os.close(descriptor)
