"""The decoder process: `python -m dicomnode.decoder.child SOCKET LIMITS`.

It limits itself before it looks at anything, decodes what comes over the socket, and
ends with it. What it cannot survive kills it, and the worker sees that.
"""

from __future__ import annotations

import ctypes
import json
import os
import resource
import signal
import socket
import sys
import traceback
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from dicomnode.decoder import channel
from dicomnode.decoder.decoding import Decoded, ImageWanted, Undecodable, decode
from dicomnode.decoder.limits import DecodeLimits
from dicomnode.decoder.prepared import PreparedPlanes, Wanted
from dicomnode.decoder.series import Planes, planes_of, survey, to_words
from model import pixels

_PR_SET_PDEATHSIG = 1


def main(handle: int, limits: DecodeLimits) -> None:
    """Answer until the worker closes the socket."""
    worker = socket.socket(fileno=handle)  # open until the very end, to say of what
    _confine(limits)
    _tell_before_dying(worker)
    channel.send(worker, {"ready": os.getpid()})
    memory, heads = channel.memory(), pixels.Heads()
    while True:
        try:
            asked, handles = channel.receive(worker)
        except channel.Closed:
            worker.close()
            return
        if "series" in asked or "survey" in asked:
            answer = _answer_series(handles, memory, limits, asked, heads)
            channel.send(worker, answer, memory)
        else:
            _answer(worker, handles[0], memory, limits, ImageWanted.from_words(asked))


def _confine(limits: DecodeLimits) -> None:
    # A signal to the whole group asks the worker, which first ends what it has begun.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    if sys.platform.startswith("linux"):
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        resource.setrlimit(
            resource.RLIMIT_AS, (limits.memory_bytes, limits.memory_bytes)
        )
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # it would hold a patient's image


def _tell_before_dying(worker: socket.socket) -> None:
    """Say where an error of ours arose; its message could quote the object."""

    def tell(
        kind: type[BaseException], _: BaseException, trace: TracebackType | None
    ) -> None:
        frames = traceback.extract_tb(trace)
        places = [f" at {Path(one.filename).name}:{one.lineno}" for one in frames[-1:]]
        channel.send(worker, {"died": "".join([kind.__name__, *places])})

    sys.excepthook = tell


def _answer(
    worker: socket.socket,
    handle: int,
    memory: int,
    limits: DecodeLimits,
    wanted: ImageWanted,
) -> None:
    # Without a handler SIGALRM ends the process, also in the midst of native code.
    signal.setitimer(signal.ITIMER_REAL, limits.timeout_seconds)
    with os.fdopen(handle, "rb") as file:
        file.seek(0)
        found = decode(file, limits.max_pixels, wanted)
    if isinstance(found, Decoded):
        _hand_over(worker, found, memory)
    else:
        channel.send(worker, {"reason": found.reason})
    signal.setitimer(signal.ITIMER_REAL, 0)


def _answer_series(
    handles: Sequence[int],
    memory: int,
    limits: DecodeLimits,
    asked: dict[str, Any],
    heads: pixels.Heads,
) -> dict[str, Any]:
    """Several files at once; what the answer says of each is in their order."""
    said: list[Any] = []

    def pieces() -> Iterator[memoryview]:
        wanted = asked.get("series", ())
        for handle, one in zip(handles, map(Wanted.from_words, wanted), strict=True):
            with _in_time(handle, limits) as file:
                found = planes_of(file, one, limits.max_pixels, heads)
            if isinstance(found, Undecodable):
                said.append(found.reason)
                continue
            said.append([_words(plane) for plane in found])
            yield from (np.ascontiguousarray(_array(x)).data.cast("B") for x in found)

    if "survey" in asked:
        wanted = zip(handles, asked["survey"], strict=True)
        words = [_surveyed(one, limits, said["keywords"]) for one, said in wanted]
        text = json.dumps(words).encode()
        n_bytes = channel.filled(memory, [text])
    else:
        n_bytes = channel.filled(memory, pieces())
    signal.setitimer(signal.ITIMER_REAL, 0)
    return {"n_bytes": n_bytes, "files": said}


def _words(one: Planes | PreparedPlanes) -> Any:
    return one.to_words() if isinstance(one, PreparedPlanes) else one.shape


def _array(one: Planes | PreparedPlanes) -> NDArray[Any]:
    return one.canvases if isinstance(one, PreparedPlanes) else one


def _surveyed(
    handle: int, limits: DecodeLimits, keywords: Sequence[str]
) -> list[dict[str, Any]] | str:
    with _in_time(handle, limits) as file:
        found = survey(file, keywords)
    return found.reason if isinstance(found, Undecodable) else to_words(found)


def _in_time(handle: int, limits: DecodeLimits) -> BinaryIO:
    """The file; each has the time of one image."""
    signal.setitimer(signal.ITIMER_REAL, limits.timeout_seconds)
    return os.fdopen(handle, "rb")


def _hand_over(worker: socket.socket, found: Decoded, memory: int) -> None:
    channel.to_file(found, memory)
    said = {
        "given": found.given.shape,
        "shape": found.eight_bit.shape,
        "station": found.station,
        "header": dict(found.header),
        "statistics": found.statistics,
        "measures": dict(found.measures),
    }
    channel.send(worker, said, memory)


if __name__ == "__main__":
    main(int(sys.argv[1]), DecodeLimits.from_json(sys.argv[2]))
