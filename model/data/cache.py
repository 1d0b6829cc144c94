"""A decoded cache that can be stopped: finished images are never decoded again."""

from __future__ import annotations

import fcntl
import os
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np

from model.data.progress import progress

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from numpy.typing import NDArray

_CHUNK = 64
_MOST_THREADS = 8


def cached(
    path: Path,
    n: int,
    side: int,
    decode: Callable[[int], NDArray[np.uint8]],
    channels: int = 0,
) -> NDArray[np.uint8]:
    """uint8 (n, side, side) from `path`, decoded first where it is not there yet; with
    channels (n, channels, side, side).

    decode: index -> (side, side), or with channels. Stopped halfway, the next call goes
    on after the last chunk that is on the disk; the finished file is the same bytes
    either way. Processes that ask for the same cache wait for the one that fills it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with _alone(path.with_suffix(".lock")):
        if not path.exists():
            _fill(path, (n, *((channels,) if channels else ()), side, side), decode)
    opened: NDArray[np.uint8] = np.load(path, mmap_mode="r", allow_pickle=False)
    return opened


def _fill(
    path: Path,
    shape: tuple[int, ...],
    decode: Callable[[int], NDArray[np.uint8]],
) -> None:
    part, done = path.with_suffix(".part"), path.with_suffix(".done")
    images, first = _opened(part, done, shape)
    starts = range(first, shape[0], _CHUNK)
    with ThreadPoolExecutor(min(_MOST_THREADS, os.cpu_count() or 1)) as pool:
        for start in progress(starts, "decoding"):
            chunk = range(start, min(start + _CHUNK, shape[0]))
            for index, image in zip(chunk, pool.map(decode, chunk), strict=True):
                images[index] = image
            images.flush()
            _note(done, chunk.stop)
    part.replace(path)
    done.unlink(missing_ok=True)


def _opened(
    part: Path, done: Path, shape: tuple[int, ...]
) -> tuple[np.memmap[tuple[int, ...], np.dtype[np.uint8]], int]:
    """The unfinished array and the number of images in it that are finished."""
    finished = int(done.read_text("ascii")) if done.exists() else 0
    if finished and part.exists():
        images = np.lib.format.open_memmap(part, mode="r+")
        if images.shape == shape and images.dtype == np.uint8:
            return images, finished
    done.unlink(missing_ok=True)
    return np.lib.format.open_memmap(part, mode="w+", dtype=np.uint8, shape=shape), 0


def _note(done: Path, n: int) -> None:
    """Written after the pixels are on the disk, whole or not at all."""
    fresh = done.with_suffix(".count")
    fresh.write_text(str(n), "ascii")
    fresh.replace(done)


@contextmanager
def _alone(lock: Path) -> Iterator[None]:
    with lock.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
