"""Slices of a series on their way to the network: decoded in chunks, a few at a time.

However long the series, only what is decoded ahead, and the neighbours of the slices
still to come, lie in memory.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from typing import Any, BinaryIO, NamedTuple, TypeAlias

import numpy as np

from dicomnode.decoder import (
    CHUNK,
    Decoder,
    Planes,
    PreparedPlanes,
    Undecodable,
    Wanted,
)
from dicomnode.domain.series import Slice, Volume
from model.preparation import Preparation

Open: TypeAlias = Callable[[str], BinaryIO]
"""SOP Instance UID -> its file."""

_AHEAD = 2
"""Chunks that are decoded while the network runs on the one before."""


class Windows(NamedTuple):
    """What slices are shown through: (centre, width) in modality values, or (low, high)
    percentiles of each slice.

    preparation: what makes canvases of them. measured: indices of the slices whose
    measures are wanted then.
    """

    pairs: tuple[tuple[float, float], ...] = ()
    percentiles: bool = False
    preparation: Preparation | None = None
    measured: frozenset[int] = frozenset()


Shown: TypeAlias = "Planes | PreparedPlanes | Undecodable"


def stacks(
    volume: Volume, depth: int, shown: Iterator[tuple[int, Shown]]
) -> Iterator[tuple[int, Shown]]:
    """(index, stack) of every wanted slice: itself between its neighbours.

    shown: the slices of `needed`, in order. A stack is uint8 (depth x windows, rows,
    columns), or prepared as they are; at the ends, and for a neighbour that cannot be
    used, the slice itself stands in.
    """
    kept: dict[int, Shown] = {}
    for index in volume.wanted:
        around = _around(volume, index, depth)
        while around[-1] not in kept:
            number, plane = next(shown)
            kept[number] = plane
        yield index, _stack(kept, index, around)
        for number in [one for one in kept if one < index - depth // 2]:
            del kept[number]


def needed(volume: Volume, depth: int) -> list[int]:
    """Indices of the slices to decode: the wanted ones and their neighbours."""
    found = {one for index in volume.wanted for one in _around(volume, index, depth)}
    return sorted(found)


def decoded(
    decoder: Decoder,
    open_file: Open,
    slices: Sequence[tuple[int, Slice]],
    windows: Windows,
    priority: int,
) -> Iterator[tuple[int, Shown]]:
    """(index, slice) in order; files are open only while they are decoded."""
    with ExitStack() as opened:
        ahead = deque[Iterator[tuple[int, Shown]]]()
        for first in range(0, len(slices), CHUNK):
            chunk = slices[first : first + CHUNK]
            place = (priority, first)
            ahead.append(_chunk(decoder, open_file, chunk, windows, place))
            opened.callback(_drained, ahead[-1])
            next(ahead[-1])  # asks for it
            if len(ahead) > _AHEAD:
                yield from ahead.popleft()
        while ahead:
            yield from ahead.popleft()


def _drained(chunk: Iterator[tuple[int, Shown]]) -> None:
    """Its files are closed after this, and not before they are decoded."""
    for _ in chunk:
        pass


def _chunk(
    decoder: Decoder,
    open_file: Open,
    slices: Sequence[tuple[int, Slice]],
    windows: Windows,
    place: tuple[int, int],
) -> Iterator[tuple[int, Shown]]:
    """First (-1, ...) when the chunk has been asked for, then its slices."""
    files: dict[str, list[tuple[int, Slice]]] = {}
    for one in slices:
        files.setdefault(one[1].sop_instance_uid, []).append(one)
    with ExitStack() as opened:
        handles = [opened.enter_context(open_file(uid)) for uid in files]
        wanted = [
            Wanted(
                tuple(one.header.frame for _, one in some),
                *windows[:-1],
                tuple(one.header.frame for i, one in some if i in windows.measured),
            )
            for some in files.values()
        ]
        priority, turn = place
        answer = decoder.planes(handles, wanted, priority, turn)
        try:
            yield -1, Undecodable("")
        finally:
            answers = answer.result()  # the files stay open until they are decoded
    by_index: dict[int, Shown] = {}
    for some, found in zip(files.values(), answers, strict=True):
        for number, (index, _) in enumerate(some):
            by_index[index] = found if isinstance(found, Undecodable) else found[number]
    yield from ((index, by_index[index]) for index, _ in slices)


def _around(volume: Volume, index: int, depth: int) -> list[int]:
    last, half = len(volume.slices) - 1, depth // 2
    return [min(max(index + step, 0), last) for step in range(-half, half + 1)]


def _stack(kept: dict[int, Shown], index: int, around: Sequence[int]) -> Shown:
    own = kept[index]
    if isinstance(own, Undecodable):
        return own
    if len(around) == 1:
        return own
    beside = [_usable(kept[one], own) for one in around]
    return (
        own.beside(beside)
        if isinstance(own, PreparedPlanes)
        else np.concatenate(beside)
    )


def _usable(one: Shown, own: Planes | PreparedPlanes) -> Any:
    """A neighbour, or the slice itself in its stead."""
    return own if isinstance(one, Undecodable) or one.shape != own.shape else one
