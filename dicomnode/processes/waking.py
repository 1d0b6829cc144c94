"""A word from one process of this machine to another: look into the worklist now.

Who waits for work looks every few moments anyway, so a word that is lost costs a moment
and nothing else; one that comes saves it. Each listener has a named pipe of its own in
`<data_dir>/wake`. Nothing is said in it: what is to be done is in the worklist.
"""

from __future__ import annotations

import os
import select
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Thread

from dicomnode.config import Config

_FOLDER = "wake"
_SUFFIX = ".pipe"
_WORD = b"!"
_ALL = 1 << 16


def wake(config: Config, role: str) -> None:
    """Tell every listener of a role; never waits, never fails."""
    with suppress(OSError):
        for path in _folder(config).glob(f"{role}-*{_SUFFIX}"):
            _tell(path)


@contextmanager
def woken(config: Config, role: str, listen: Callable[[], None]) -> Iterator[None]:
    """``listen`` is called, in a thread of its own, whenever somebody says the word.

    Without a pipe, as on a folder that cannot have one, nobody is told anything.
    """
    path = _folder(config) / f"{role}-{os.getpid()}{_SUFFIX}"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        os.mkfifo(path, 0o600)
        # Also open for writing by us: without a writer it would be at its end for ever.
        pipe = os.open(path, os.O_RDWR | os.O_NONBLOCK)
    except OSError:
        yield
        return
    ended, end = os.pipe()
    thread = Thread(target=_serve, args=(pipe, ended, listen), name="wake", daemon=True)
    thread.start()
    try:
        yield
    finally:
        path.unlink(missing_ok=True)
        os.close(end)
        thread.join()
        for descriptor in (pipe, ended):
            os.close(descriptor)


def _serve(pipe: int, ended: int, listen: Callable[[], None]) -> None:
    while True:
        ready, _, _ = select.select([pipe, ended], [], [])
        if ended in ready:
            return
        os.read(pipe, _ALL)  # many words mean no more than one
        listen()


def _tell(path: Path) -> None:
    try:
        pipe = os.open(path, os.O_WRONLY | os.O_NONBLOCK)
    except OSError:
        path.unlink(missing_ok=True)  # nobody listens: it ended without a clean stop
        return
    with suppress(BlockingIOError):  # so full of words that one more says nothing
        os.write(pipe, _WORD)
    os.close(pipe)


def _folder(config: Config) -> Path:
    return config.node.data_dir / _FOLDER
