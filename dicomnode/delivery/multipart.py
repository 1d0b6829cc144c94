"""A multipart/related answer of WADO-RS (PS3.18 8.7.1, RFC 2046 5.1), part by part."""

from __future__ import annotations

import logging

from python_multipart.exceptions import ParseError
from python_multipart.multipart import MultipartParser, parse_options_header

# It would warn of what follows the last boundary, byte by byte.
logging.getLogger(MultipartParser.__module__).setLevel(logging.ERROR)


class NoMultipart(ValueError):
    """Another kind of answer."""


class BrokenAnswer(ValueError):
    """Not all of a multipart message, or none that can be read."""


class Parts:
    """Gives whole parts as chunks of the body come in.

    ``most_bytes``: of a part that is larger no more is kept than one byte beyond them.
    Raises NoMultipart for another Content-Type, or one without a boundary.
    """

    def __init__(self, content_type: str, most_bytes: int) -> None:
        kind, options = parse_options_header(content_type)
        if kind != b"multipart/related" or not options.get(b"boundary"):
            raise NoMultipart(kind.decode("latin-1") or "nothing")
        self._most_bytes = most_bytes
        self._part = bytearray()
        self._whole: list[bytes] = []
        self._ended = False
        self._parser = MultipartParser(
            options[b"boundary"],
            {
                "on_part_begin": self._part.clear,
                "on_part_data": self._data,
                "on_part_end": self._end_of_part,
                "on_end": self._end,
            },
        )

    def feed(self, chunk: bytes) -> list[bytes]:
        """The parts that end in this chunk. Raises BrokenAnswer."""
        try:
            self._parser.write(chunk)
        except ParseError as error:
            raise BrokenAnswer(type(error).__name__) from error
        found, self._whole = self._whole, []
        return found

    def close(self) -> None:
        """No more will come. Raises BrokenAnswer when the last boundary is missing."""
        if not self._ended:
            raise BrokenAnswer("the last boundary is missing")

    def _data(self, data: bytes, start: int, end: int) -> None:
        room = self._most_bytes + 1 - len(self._part)
        self._part += data[start : min(end, start + room)]

    def _end_of_part(self) -> None:
        self._whole.append(bytes(self._part))

    def _end(self) -> None:
        self._ended = True
