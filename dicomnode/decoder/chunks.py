"""Many files of a series in one message to a decoder process, and its one answer.

If the process dies or takes too long on them, each is tried alone: one damaged slice
costs itself, not the series.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from math import prod
from typing import Any, BinaryIO, TypeVar

import numpy as np

from dicomnode.decoder import channel
from dicomnode.decoder.decoding import Undecodable
from dicomnode.decoder.process import DecoderProcess
from dicomnode.decoder.series import Planes, Wanted, from_words
from dicomnode.domain.series import SliceHeader

CHUNK = 16
"""Slices in a message: enough that messages cost little, few enough to take turns."""

_Found = TypeVar("_Found")
_CUBE = 3


def survey(
    process: DecoderProcess, files: Sequence[BinaryIO], keywords: Sequence[str] = ()
) -> list[list[SliceHeader] | Undecodable]:
    """The slice headers of each file, with these attributes among their facts."""
    return _asked(process, files, [{"keywords": keywords}] * len(files), _headers)


def planes(
    process: DecoderProcess, files: Sequence[BinaryIO], wanted: Sequence[Wanted]
) -> list[list[Planes] | Undecodable]:
    """The wanted frames of each file."""
    return _asked(process, files, [asdict(one) for one in wanted], _planes)


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


def _planes(said: dict[str, Any], files: list[int]) -> list[list[Planes] | Undecodable]:
    try:
        room = channel.content(files[0], int(said["n_bytes"]))
        whole, place = np.frombuffer(room, np.uint8), 0
        found: list[list[Planes] | Undecodable] = []
        for one in said["files"]:
            if isinstance(one, str):
                found.append(Undecodable(one))
                continue
            found.append([])
            for shape in one:
                size = _size(shape)
                plane = whole[place : place + size].reshape(shape)
                found[-1].append(plane)  # type: ignore[union-attr]  # the list above
                place += size
    except (LookupError, TypeError) as error:
        raise ValueError("the answer is not a list of planes") from error
    return found


def _size(shape: Sequence[Any]) -> int:
    if len(shape) != _CUBE or not all(isinstance(n, int) and n > 0 for n in shape):
        raise ValueError("a plane has a shape that none can have")
    return prod(shape)
