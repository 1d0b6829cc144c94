"""Images that look the same: difference hash to find candidates, pixels to confirm.

Chest radiographs resemble each other, so a short hash finds strangers. Measured on
5,799 radiographs: a copy that was resized and re-compressed (200 tried) differs from
its original in at most 16 of 256 bits and correlates by 0.996 or more. Of 17 million
pairs of images 11 of different patients come as near in bits; one of these is a copy,
and the others correlate by less than 0.97.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

MOST_BITS = 16
LEAST_CORRELATION = 0.99
_SIDE, _BITS, _WORDS = 16, 256, 4
_THUMBNAIL = 32
# Two hashes that differ in r bits agree in one of r + 1 bands (pigeonhole)
_BANDS = MOST_BITS + 1
_BLOCK = 512


def difference_hash(image: NDArray[np.float32]) -> NDArray[np.uint64]:
    """uint64 (4,): for each of 16 x 16 cells, is the next one to the right brighter?

    image: (rows, columns) in [0, 1].
    """
    cells = _small(image, _SIDE + 1, _SIDE).astype(np.int16)
    bits = np.packbits(cells[:, 1:] > cells[:, :-1])
    return bits.view(np.uint64)


def thumbnail(image: NDArray[np.float32]) -> NDArray[np.uint8]:
    """uint8 (32, 32)."""
    return _small(image, _THUMBNAIL, _THUMBNAIL)


def correlation(first: NDArray[np.uint8], second: NDArray[np.uint8]) -> float:
    """Pearson correlation of two thumbnails; 0 where one of them is flat."""
    a, b = (x.astype(np.float64).ravel() - x.mean() for x in (first, second))
    norm = float(np.linalg.norm(a) * np.linalg.norm(b))
    return float(a @ b) / norm if norm else 0.0


def near_pairs(
    hashes: NDArray[np.uint64], parts: Sequence[str]
) -> Iterator[tuple[int, int]]:
    """Pairs of different parts at most MOST_BITS apart, each of them once.

    hashes: (n, 4). Only hashes that agree in a whole band are compared, so the work
    grows with the likeness of the images, not with their number squared.
    """
    codes = np.unique(np.asarray(parts, np.str_), return_inverse=True)[1]
    largest = int(np.bincount(codes).argmax()) if len(codes) else 0
    seen: set[tuple[int, int]] = set()
    for keys in _band_keys(hashes):
        for bucket in _buckets(keys):
            few = bucket[codes[bucket] != largest]
            for pair in _close(hashes, codes, few, bucket):
                if pair not in seen:
                    seen.add(pair)
                    yield pair


def _small(image: NDArray[np.float32], columns: int, rows: int) -> NDArray[np.uint8]:
    grey = Image.fromarray(np.rint(image * 255).astype(np.uint8))
    return np.asarray(grey.resize((columns, rows), Image.Resampling.BOX), np.uint8)


def _band_keys(hashes: NDArray[np.uint64]) -> Iterator[NDArray[np.int64]]:
    """(n,) for each band: its bits as one number. A band runs diagonally."""
    bits = np.unpackbits(np.ascontiguousarray(hashes).view(np.uint8), axis=1)
    for band in range(_BANDS):
        chosen = bits[:, band::_BANDS].astype(np.int64)
        yield chosen @ (1 << np.arange(chosen.shape[1], dtype=np.int64))


def _buckets(keys: NDArray[np.int64]) -> Iterator[NDArray[np.int64]]:
    """Indices that share a key, where at least two do."""
    order = np.argsort(keys, kind="stable")
    edges = np.flatnonzero(np.diff(keys[order])) + 1
    for bucket in np.split(order, edges):
        if len(bucket) > 1:
            yield bucket


def _close(
    hashes: NDArray[np.uint64],
    codes: NDArray[np.int64],
    few: NDArray[np.int64],
    all_: NDArray[np.int64],
) -> Iterator[tuple[int, int]]:
    for start in range(0, len(few), _BLOCK):
        rows = few[start : start + _BLOCK]
        apart = np.zeros((len(rows), len(all_)), np.uint16)
        for word in range(_WORDS):
            unlike = hashes[rows, word][:, None] ^ hashes[all_, word][None]
            apart += np.bitwise_count(unlike)
        near = (apart <= MOST_BITS) & (codes[rows][:, None] != codes[all_][None])
        for i, j in zip(*np.nonzero(near), strict=True):
            first, second = sorted((int(rows[i]), int(all_[j])))
            yield first, second
