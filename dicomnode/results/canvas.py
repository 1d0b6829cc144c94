"""A page to draw on: dark, as reading rooms are, with the node's few type sizes."""

from __future__ import annotations

import unicodedata
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from functools import cache, lru_cache
from math import ceil, floor
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from dicomnode.domain.findings import Pixels8
from dicomnode.results.heatmap import Rgb8, draw

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
_LINES_KEPT = 2048
"""Lines of text kept as drawn: pages of one bundle say much the same."""


@cache
def font(size: int) -> Font:
    """Pillow's own scalable face, so that pages look alike on every machine."""
    return ImageFont.load_default(size)


@dataclass(frozen=True, slots=True)
class _Drawn:
    """A line of text as a mask, uint8 (rows, columns), and where it lies beside its
    anchor.
    """

    mask: Pixels8
    left: int
    top: int


@lru_cache(maxsize=_LINES_KEPT)
def _drawn(words: str, size: int, anchor: str) -> _Drawn | None:
    """None when there is nothing to see."""
    face = font(size)
    blank = ImageDraw.Draw(Image.new("L", (1, 1)))
    left, top, right, bottom = (
        round(one) for one in blank.textbbox((0, 0), words, face, anchor)
    )
    if right <= left or bottom <= top:
        return None
    mask = Image.new("L", (right - left, bottom - top))
    ImageDraw.Draw(mask).text((-left, -top), words, 255, face, anchor)
    return _Drawn(np.asarray(mask), left, top)


@lru_cache(maxsize=_LINES_KEPT)
def _length(words: str, size: int) -> float:
    return ImageDraw.Draw(Image.new("L", (1, 1))).textlength(words, font(size))


def _fill(piece: Rgb8, colour: Colour) -> None:
    """A row, then all rows: to repeat three bytes takes much longer."""
    if piece.size:
        piece[0] = colour
        piece[1:] = piece[0]


@cache
def _inks(colour: Colour, ground: Colour) -> NDArray[np.uint32]:
    """The colour, as four bytes, for each share of ``colour`` on ``ground``."""
    share = np.arange(256)[:, np.newaxis]
    mixed = share * np.asarray(colour) + (255 - share) * np.asarray(ground) + 128
    inks = np.zeros((256, 4), np.uint8)
    inks[:, :3] = (mixed + (mixed >> 8)) >> 8  # as Pillow divides by 255
    return inks.view(np.uint32).ravel()


def _corners(place: Box) -> tuple[int, int, int, int]:
    """Of a piece that is just as large, the last column and row included."""
    return 0, 0, place.width - 1, place.height - 1


def _around(points: Sequence[tuple[float, float]], margin: int) -> Box:
    """The pixels that lines through ``points`` can reach."""
    columns, rows = zip(*points, strict=True)
    left, top = floor(min(columns)) - margin, floor(min(rows)) - margin
    width, height = ceil(max(columns)) - left, ceil(max(rows)) - top
    return Box(left, top, width + margin + 1, height + margin + 1)


def drawable(words: str) -> str:
    """``words`` in ASCII, which is all that the face has: without accents, else "?"."""
    if words.isascii():
        return words
    parts = unicodedata.normalize("NFKD", words)
    plain = "".join(one for one in parts if not unicodedata.combining(one))
    return plain.encode("ascii", "replace").decode("ascii")


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle on the page, in the page's units."""

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
    """An RGB page of ``width`` x ``height`` units, each ``scale`` pixels long.

    Places, widths and type sizes are in units, so that a page looks alike at any
    scale; only ``view`` and ``closed_line`` take pixels.
    """

    def __init__(self, width: int, height: int, scale: Fraction = Fraction(1)) -> None:
        # Three bytes for a pixel, as they leave: Pillow has four, and a page as large
        # as its image takes longer to repack than to draw. Pillow draws on pieces.
        shape = floor(height * scale), floor(width * scale), 3
        self._pixels = np.empty(shape, np.uint8)
        self._scale = scale
        _fill(self._pixels, GROUND)

    def in_pixels(self, box: Box) -> Box:
        """``box`` in pixels; at least as large as it is in units."""
        up, down = self._scale.numerator, self._scale.denominator
        return Box(
            self._in_pixels(box.left),
            self._in_pixels(box.top),
            -(-box.width * up // down),
            -(-box.height * up // down),
        )

    def fill(self, box: Box, colour: Colour, radius: int = 0) -> None:
        """A filled rectangle, rounded if ``radius`` is not 0."""
        place, rounding = self.in_pixels(box), self._in_pixels(radius)
        if not rounding:
            _fill(self._piece(place), colour)
            return
        with self._drawing(place) as piece:
            piece.rounded_rectangle(_corners(place), rounding, fill=colour)

    def outline(self, box: Box, colour: Colour, radius: int = 0) -> None:
        """The edge of a rectangle, two units wide."""
        place = self.in_pixels(box)
        with self._drawing(place) as piece:
            piece.rounded_rectangle(
                _corners(place),
                self._in_pixels(radius),
                outline=colour,
                width=self._line_width,
            )

    def closed_line(
        self, points: Sequence[tuple[float, float]], colour: Colour
    ) -> None:
        """A closed outline through (column, row) pixels, two units wide."""
        place = self._seen(_around(points, 2 * self._line_width))
        line = [(x - place.left, y - place.top) for x, y in (*points, points[0])]
        with self._drawing(place) as piece:
            piece.line(line, colour, width=self._line_width, joint="curve")

    def text(
        self,
        at: tuple[int, int],
        words: str,
        size: int,
        colour: Colour = TEXT,
        anchor: str = "la",
        ground: Colour = GROUND,
    ) -> None:
        """One line of text; ``anchor`` as Pillow's text anchors.

        ``ground``: what it lies on, and nothing else does.
        """
        left, top = self._in_pixels(at[0]), self._in_pixels(at[1])
        drawn = _drawn(drawable(words), self._in_pixels(size), anchor)
        if drawn is not None:
            rows, columns = drawn.mask.shape
            place = Box(left + drawn.left, top + drawn.top, columns, rows)
            seen = self._seen(place)
            mask = drawn.mask[seen.top - place.top :, seen.left - place.left :]
            inks = np.take(_inks(colour, ground), mask[: seen.height, : seen.width])
            draw(inks, self._piece(seen))

    def width_of(self, words: str, size: int) -> int:
        """How wide a line is."""
        length = _length(drawable(words), self._in_pixels(size))
        return round(length / float(self._scale))

    def shorten(self, words: str, size: int, width: int) -> str:
        """``words`` cut to ``width``, with dots where it was cut."""
        if self.width_of(words, size) <= width:
            return words
        kept = bisect_right(
            range(len(words)),
            width,
            key=lambda length: self.width_of(words[:length] + _ELLIPSIS, size),
        )
        return words[: max(0, kept - 1)].rstrip() + _ELLIPSIS

    def wrap(self, words: str, size: int, width: int) -> list[str]:
        """``words`` in lines of at most ``width``."""
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

    def view(self, left: int, top: int, shape: tuple[int, int]) -> Rgb8:
        """So many rows and columns of the page from a pixel of it on, to draw in."""
        rows, columns = shape
        return self._piece(Box(left, top, columns, rows))

    def pixels(self) -> Rgb8:
        """The finished page as uint8 (rows, columns, 3)."""
        self._pixels.flags.writeable = False
        return self._pixels

    @property
    def _line_width(self) -> int:
        return self._in_pixels(2)

    def _seen(self, place: Box) -> Box:
        """What of ``place``, in pixels, is on the page."""
        rows, columns, _ = self._pixels.shape
        left, top = (
            min(max(0, one), most)
            for one, most in ((place.left, columns), (place.top, rows))
        )
        return Box(
            left,
            top,
            max(0, min(place.right, columns) - left),
            max(0, min(place.bottom, rows) - top),
        )

    def _piece(self, place: Box) -> Rgb8:
        return self._pixels[place.top : place.bottom, place.left : place.right]

    @contextmanager
    def _drawing(self, place: Box) -> Iterator[ImageDraw.ImageDraw]:
        """Pillow's tools for a part of the page; the pixels of that begin at 0, 0."""
        piece = self._piece(place)
        image = Image.fromarray(piece)
        yield ImageDraw.Draw(image)
        piece[...] = np.asarray(image)

    def _in_pixels(self, size: int) -> int:
        """Rounded, halves to the even, as `round` does it in ten times as long."""
        whole, rest = divmod(size * self._scale.numerator, self._scale.denominator)
        twice = 2 * rest - self._scale.denominator
        return whole + (twice > 0 or (twice == 0 and whole % 2 == 1))
