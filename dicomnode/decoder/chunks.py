"""Many files of a series in one message to a decoder process, and its one answer.

If the process dies or takes too long on them, each is tried alone: one damaged slice
costs itself, not the series.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from functools import partial
from math import prod
from typing import Any, BinaryIO, TypeAlias, TypeVar

import numpy as np

from dicomnode.decoder import channel
from dicomnode.decoder.decoding import Undecodable
from dicomnode.decoder.prepared import PreparedPlanes, Wanted
from dicomnode.decoder.process import DecoderProcess
from dicomnode.decoder.series import Planes, from_words
from dicomnode.domain.series import SliceHeader

CHUNK = 16
"""Slices in a message: enough that messages cost little, few enough to take turns."""

_Found = TypeVar("_Found")
_CUBE, _FLOAT_BYTES = 3, 4

Slices: TypeAlias = Sequence[Planes | PreparedPlanes]


def survey(
    process: DecoderProcess, files: Sequence[BinaryIO], keywords: Sequence[str] = ()
) -> list[list[SliceHeader] | Undecodable]:
    """The slice headers of each file, with these attributes among their facts."""
    return _asked(process, files, [{"keywords": keywords}] * len(files), _headers)


def planes(
    process: DecoderProcess, files: Sequence[BinaryIO], wanted: Sequence[Wanted]
) -> list[Slices | Undecodable]:
    """The wanted frames of each file; prepared, if the first are to be."""
    understood = partial(_planes, wanted[0].shape if wanted else ())
    return _asked(process, files, [asdict(one) for one in wanted], understood)


def _asked(
    process: DecoderProcess,
    files: Sequence[BinaryIO],
    wanted: Sequence[Mapping[str, Any]],
    understood: Callable[[dict[str, Any], list[int]], list[_Found | Undecodable]],
) -> list[_Found | Undecodable]:
    kind = "survey" if understood is _headers else "series"
    message = {kind: list(wanted)}

    def complete(said: dict[str, Any], files_came: list[int]) -> Any:
        found = understood(said, files_came)
        if len(found) != len(files):
            raise ValueError("not every file was answered")
        return found

    answer = process.ask(files, message, complete)
    if not isinstance(answer, Undecodable):
        return list(answer)
    if len(files) == 1:
        return [answer]
    pairs = zip(files, wanted, strict=True)
    return [x for f, w in pairs for x in _asked(process, [f], [w], understood)]


def _headers(
    said: dict[str, Any], files: list[int]
) -> list[list[SliceHeader] | Undecodable]:
    try:
        found = json.loads(channel.content(files[0], int(said["n_bytes"])))
        return [
            Undecodable(one) if isinstance(one, str) else from_words(one)
            for one in found
        ]
    except (AttributeError, LookupError, TypeError, RecursionError) as error:
        raise ValueError("the answer is not a list of headers") from error


def _planes(
    canvases: tuple[int, ...], said: dict[str, Any], files: list[int]
) -> list[Slices | Undecodable]:
    try:
        room = channel.content(files[0], int(said["n_bytes"]))
        left = memoryview(room)
        found: list[Slices | Undecodable] = []
        for one in said["files"]:
            if isinstance(one, str):
                found.append(Undecodable(one))
                continue
            slices: list[Planes | PreparedPlanes] = []
            for words in one:
                made, n_bytes = _slice(canvases, words, left)
                slices.append(made)
                left = left[n_bytes:]
            found.append(slices)
    except (AttributeError, LookupError, TypeError) as error:
        raise ValueError("the answer is not a list of planes") from error
    return found


def _slice(
    canvases: tuple[int, ...], words: Any, left: memoryview
) -> tuple[Planes | PreparedPlanes, int]:
    """A slice, and its bytes; prepared, if canvases of this shape were wanted."""
    shape = words["canvases"] if canvases else words
    if canvases and tuple(shape) != canvases:
        raise ValueError("canvases have a shape that nobody asked for")
    n_bytes = _size(shape) * (_FLOAT_BYTES if canvases else 1)
    content = np.frombuffer(left[:n_bytes], np.uint8)
    if canvases:
        return PreparedPlanes.from_words(words, content), n_bytes
    return content.reshape(shape), n_bytes


def _size(shape: Sequence[Any]) -> int:
    if len(shape) != _CUBE or not all(isinstance(n, int) and n > 0 for n in shape):
        raise ValueError("a plane has a shape that none can have")
    return prod(shape)
