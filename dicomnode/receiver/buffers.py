"""Receive buffers that one association after the other uses.

The system gives the pages of a new buffer one by one, each cleared, when they are first
touched; an association for one image would pay for all of them.
"""

from __future__ import annotations

from typing import Final

BUFFER_BYTES: Final = 576 * 1024
"""A CT image of 512 x 512 x 16 bits with its header, and that is most of them."""

_MOST_KEPT = 16


class Buffers:
    """A few buffers that nobody uses; safe for many threads."""

    def __init__(self, most_kept: int = _MOST_KEPT) -> None:
        self._most_kept = most_kept
        self._kept: list[memoryview] = []

    def taken(self) -> memoryview:
        """A buffer of BUFFER_BYTES; what is in it means nothing."""
        try:
            return self._kept.pop()
        except IndexError:
            # Untouched pages of it cost nothing, so an idle connection is cheap.
            return memoryview(bytearray(BUFFER_BYTES))

    def give_back(self, buffer: memoryview) -> None:
        """Whoever gives a buffer back must not touch it again."""
        if len(self._kept) < self._most_kept:
            self._kept.append(buffer)
