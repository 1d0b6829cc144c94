"""A word from one process of this machine to another: look into the worklist now.

Who waits for work looks every few moments anyway, so a word that is lost costs a moment
and nothing else; one that comes saves it. Each listener has a named pipe of its own in
`<data_dir>/wake`. What is to be done is in the worklist and not said in it; at most, to
whom something will have to be sent in a moment.
"""

from __future__ import annotations

import os
import select
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Thread
from urllib.parse import quote, unquote

from dicomnode.config import Config

_FOLDER = "wake"
_SUFFIX = ".pipe"
_NOW, _SOON, _END = b"!", b"?", b"\n"
_ALL = 1 << 16

Soon = Callable[[frozenset[str]], None]
"""Takes the names of destinations."""


def wake(config: Config, role: str) -> None:
    """Tell every listener of a role; never waits, never fails."""
    _tell_all(config, role, _NOW + _END)


def announce(config: Config, role: str, destinations: Collection[str]) -> None:
    """Say that there will be something for them in a moment; as `wake` does."""
    names = (_SOON + quote(name).encode() + _END for name in destinations)
    _tell_all(config, role, b"".join(names))


@contextmanager
def woken(
    config: Config, role: str, listen: Callable[[], None], soon: Soon = lambda _: None
) -> Iterator[None]:
    """``listen`` is called, in a thread of its own, whenever somebody says the word.

    ``soon`` when something was announced. Without a pipe, as on a folder that cannot
    have one, nobody is told anything.
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
    hears = (pipe, ended, listen, soon)
    thread = Thread(target=_serve, args=hears, name="wake", daemon=True)
    thread.start()
    try:
        yield
    finally:
        path.unlink(missing_ok=True)
        os.close(end)
        thread.join()
        for descriptor in (pipe, ended):
            os.close(descriptor)


def _serve(pipe: int, ended: int, listen: Callable[[], None], soon: Soon) -> None:
    while True:
        ready, _, _ = select.select([pipe, ended], [], [])
        if ended in ready:
            return
        words = os.read(pipe, _ALL).split(_END)
        if _NOW in words:  # many mean no more than one
            listen()
        announced = (word[1:].decode() for word in words if word[:1] == _SOON)
        if names := frozenset(map(unquote, announced)):
            soon(names)


def _tell_all(config: Config, role: str, words: bytes) -> None:
    with suppress(OSError):
        for path in _folder(config).glob(f"{role}-*{_SUFFIX}"):
            _tell(path, words)


def _tell(path: Path, words: bytes) -> None:
    try:
        pipe = os.open(path, os.O_WRONLY | os.O_NONBLOCK)
    except OSError:
        path.unlink(missing_ok=True)  # nobody listens: it ended without a clean stop
        return
    with suppress(BlockingIOError):  # so full of words that one more says nothing
        os.write(pipe, words)
    os.close(pipe)


def _folder(config: Config) -> Path:
    return config.node.data_dir / _FOLDER
