"""Messages between worker and decoder: one line of JSON, with open files or none.

Files and pixels travel as file descriptors (SCM_RIGHTS, unix(7)): nothing is pickled,
nothing is copied through the socket, and no name is left behind when a process dies.
"""

from __future__ import annotations

import io
import json
import os
import socket
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from math import prod
from typing import Any, BinaryIO

import numpy as np

from dicomnode.decoder.decoding import Decoded, Display
from dicomnode.domain.findings import Pixels8

_LONGEST = 1 << 16
MOST_FILES = 64
"""That come with one message."""
_FLOAT_BYTES = 4
_END = b"\n"


class Closed(Exception):
    """The other side has gone."""


def send(channel: socket.socket, message: Mapping[str, Any], *files: int) -> None:
    """Send a message with open files or none; raises OSError, TimeoutError."""
    socket.send_fds(channel, [json.dumps(message).encode() + _END], files)


def receive(channel: socket.socket) -> tuple[dict[str, Any], list[int]]:
    """The next message, and the files that came with it.

    Raises Closed, TimeoutError, and ValueError for what is no message.
    """
    line, files = b"", list[int]()
    while not line.endswith(_END):
        try:
            piece, came, _, _ = socket.recv_fds(channel, _LONGEST, MOST_FILES)
        except ConnectionError as error:
            raise Closed from error
        files += came
        line += piece
        if not piece or len(line) > _LONGEST:
            raise Closed
    try:
        return dict(json.loads(line)), files
    except (RecursionError, TypeError) as error:
        raise ValueError("a message must be a flat object") from error


def to_file(decoded: Decoded, handle: int) -> None:
    """Write the pixels over what ``handle`` held before.

    Pages that are there already are written four times as fast as new ones.
    """
    filled(
        handle,
        [
            np.ascontiguousarray(one).data.cast("B")
            for one in (decoded.given, decoded.eight_bit, *decoded.views.values())
        ],
    )


def from_file(
    handle: int, given: tuple[int, ...], shapes: Sequence[tuple[int, ...]]
) -> tuple[Display, list[Pixels8]]:
    """A copy of the arrays that `to_file` wrote, of these shapes; closes the file.

    shapes: of the picture and of its views.

    Copied, because who wrote it may write again. Raises ValueError when it does not
    hold what it should.
    """
    with os.fdopen(handle, "rb", buffering=0) as file:
        n_bytes = prod(given) * _FLOAT_BYTES + sum(map(prod, shapes))
        if min(*given, *chain(*shapes)) < 1 or _size(file) != n_bytes:
            raise ValueError("the pixels have another size than was said")
        file.seek(0)
        floats = np.empty(given, np.float32)
        eight_bit = [np.empty(shape, np.uint8) for shape in shapes]
        _fill(file, floats.data.cast("B"))
        for plane in eight_bit:
            _fill(file, plane.data.cast("B"))
    return floats, eight_bit


def filled(handle: int, pieces: Iterable[bytes | memoryview]) -> int:
    """Write the pieces over what ``handle`` held before; their bytes."""
    os.lseek(handle, 0, os.SEEK_SET)
    n_bytes = 0
    with os.fdopen(handle, "wb", closefd=False) as file:
        for piece in pieces:
            n_bytes += file.write(piece)
    os.ftruncate(handle, n_bytes)
    return n_bytes


def content(handle: int, n_bytes: int) -> bytearray:
    """A copy of what `filled` wrote; closes the file. ValueError for another size."""
    with os.fdopen(handle, "rb", buffering=0) as file:
        if n_bytes < 0 or _size(file) != n_bytes:
            raise ValueError("the answer has another size than was said")
        file.seek(0)
        found = bytearray(n_bytes)
        _fill(file, memoryview(found))
    return found


def file_of(file: BinaryIO) -> int:
    """A descriptor of this file's content, to be closed; copied if it has none."""
    try:
        return os.dup(file.fileno())
    except OSError:  # io.UnsupportedOperation: it lies in memory or elsewhere
        handle = memory()
        file.seek(0)
        with os.fdopen(handle, "wb", closefd=False) as copy:
            while piece := file.read(_LONGEST):
                copy.write(piece)
        return handle


def memory() -> int:
    """An anonymous file in memory, or where there is none, on disk without a name."""
    if hasattr(os, "memfd_create"):
        return os.memfd_create("pixels", os.MFD_CLOEXEC)
    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())


def _size(file: io.FileIO) -> int:
    return os.fstat(file.fileno()).st_size


def _fill(file: io.FileIO, wanted: memoryview) -> None:
    while wanted:
        n_bytes = file.readinto(wanted)
        if not n_bytes:
            raise ValueError("the pixels end too early")
        wanted = wanted[n_bytes:]
