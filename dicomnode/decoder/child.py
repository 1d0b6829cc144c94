"""The decoder process: `python -m dicomnode.decoder.child SOCKET LIMITS`.

It limits itself before it looks at anything, decodes what comes over the socket, and
ends with it. What it cannot survive kills it, and the worker sees that.
"""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import socket
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

from dicomnode.decoder import channel
from dicomnode.decoder.decoding import Decoded, decode
from dicomnode.decoder.limits import DecodeLimits

_PR_SET_PDEATHSIG = 1


def main(handle: int, limits: DecodeLimits) -> None:
    """Answer until the worker closes the socket."""
    worker = socket.socket(fileno=handle)  # open until the very end, to say of what
    _confine(limits)
    _tell_before_dying(worker)
    channel.send(worker, {"ready": os.getpid()})
    memory = channel.memory()
    while True:
        try:
            asked, [handle] = channel.receive(worker)
        except channel.Closed:
            worker.close()
            return
        _answer(worker, handle, memory, limits, asked.get("keywords", ()))


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
    keywords: Sequence[str],
) -> None:
    # Without a handler SIGALRM ends the process, also in the midst of native code.
    signal.setitimer(signal.ITIMER_REAL, limits.timeout_seconds)
    with os.fdopen(handle, "rb") as file:
        file.seek(0)
        found = decode(file, limits.max_pixels, keywords)
    if isinstance(found, Decoded):
        _hand_over(worker, found, memory)
    else:
        channel.send(worker, {"reason": found.reason})
    signal.setitimer(signal.ITIMER_REAL, 0)


def _hand_over(worker: socket.socket, found: Decoded, memory: int) -> None:
    rows, columns = found.display.shape
    channel.to_file(found, memory)
    said = {"rows": rows, "columns": columns, "station": found.station}
    channel.send(worker, {**said, "header": dict(found.header)}, memory)


if __name__ == "__main__":
    main(int(sys.argv[1]), DecodeLimits.from_json(sys.argv[2]))
