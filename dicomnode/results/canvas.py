"""A page to draw on: dark, as reading rooms are, with the node's few type sizes."""

from __future__ import annotations

import unicodedata
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import TypeAlias

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from dicomnode.results.heatmap import Rgb8

Colour: TypeAlias = tuple[int, int, int]
Font: TypeAlias = ImageFont.FreeTypeFont | ImageFont.ImageFont

BLACK: Colour = (0, 0, 0)
GROUND: Colour = (14, 18, 24)
PANEL: Colour = (24, 30, 39)
RULE: Colour = (52, 62, 76)
TEXT: Colour = (232, 236, 241)
QUIET: Colour = (150, 162, 177)
AMBER: Colour = (255, 183, 77)
RED: Colour = (239, 108, 92)
OUTLINE: Colour = (90, 220, 255)
LARGE, MEDIUM, BODY, SMALL = 34, 24, 19, 16
_ELLIPSIS = "..."


@cache
def font(size: int) -> Font:
    """Pillow's own scalable face, so that pages look alike on every machine."""
    return ImageFont.load_default(size)


def drawable(words: str) -> str:
    """``words`` in ASCII, which is all that the face has: without accents, else "?"."""
    if words.isascii():
        return words
    parts = unicodedata.normalize("NFKD", words)
    plain = "".join(one for one in parts if not unicodedata.combining(one))
    return plain.encode("ascii", "replace").decode("ascii")


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle on the page, in pixels."""

    left: int
    top: int
    width: int
    height: int

    @property
    def right(self) -> int:
        """The column after the last."""
        return self.left + self.width

    @property
    def bottom(self) -> int:
        """The row after the last."""
        return self.top + self.height


class Canvas:
    """An RGB page."""

    def __init__(self, width: int, height: int) -> None:
        self._image = Image.new("RGB", (width, height), GROUND)
        self._draw = ImageDraw.Draw(self._image)

    def fill(self, box: Box, colour: Colour, radius: int = 0) -> None:
        """A filled rectangle, rounded if ``radius`` is not 0."""
        corners = (box.left, box.top, box.right - 1, box.bottom - 1)
        self._draw.rounded_rectangle(corners, radius, fill=colour)

    def outline(self, box: Box, colour: Colour, radius: int = 0) -> None:
        """The edge of a rectangle, two pixels wide."""
        corners = (box.left, box.top, box.right - 1, box.bottom - 1)
        self._draw.rounded_rectangle(corners, radius, outline=colour, width=2)

    def closed_line(
        self, points: Sequence[tuple[float, float]], colour: Colour
    ) -> None:
        """A closed outline through (column, row) points, two pixels wide."""
        self._draw.line([*points, points[0]], colour, width=2, joint="curve")

    def text(
        self,
        at: tuple[int, int],
        words: str,
        size: int,
        colour: Colour = TEXT,
        anchor: str = "la",
    ) -> None:
        """One line of text; ``anchor`` as Pillow's text anchors."""
        self._draw.text(at, drawable(words), colour, font(size), anchor)

    def width_of(self, words: str, size: int) -> int:
        """How wide a line is, in pixels."""
        return round(self._draw.textlength(drawable(words), font(size)))

    def shorten(self, words: str, size: int, width: int) -> str:
        """``words`` cut to ``width`` pixels, with dots where it was cut."""
        if self.width_of(words, size) <= width:
            return words
        kept = bisect_right(
            range(len(words)),
            width,
            key=lambda length: self.width_of(words[:length] + _ELLIPSIS, size),
        )
        return words[: max(0, kept - 1)].rstrip() + _ELLIPSIS

    def wrap(self, words: str, size: int, width: int) -> list[str]:
        """``words`` in lines of at most ``width`` pixels."""
        lines: list[str] = []
        for word in words.split():
            longer = f"{lines[-1]} {word}" if lines else word
            if lines and self.width_of(longer, size) <= width:
                lines[-1] = longer
            else:
                lines.append(self.shorten(word, size, width))
        return lines

    def paragraph(self, box: Box, words: str, size: int, colour: Colour = TEXT) -> int:
        """Wrapped text in ``box``; the row below its last line. Never runs over."""
        step = round(size * 1.35)
        lines = self.wrap(words, size, box.width)
        room = max(1, box.height // step)
        if len(lines) > room:
            last = " ".join(lines[room - 1 :])
            lines = [*lines[: room - 1], self.shorten(last, size, box.width)]
        for number, line in enumerate(lines):
            self.text((box.left, box.top + number * step), line, size, colour)
        return box.top + len(lines) * step

    def paste(self, pixels: Rgb8, left: int, top: int) -> None:
        """Put pixels on the page."""
        self._image.paste(Image.fromarray(pixels), (left, top))

    def pixels(self) -> Rgb8:
        """The page as uint8 (rows, columns, 3)."""
        return np.asarray(self._image)
