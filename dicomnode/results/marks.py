"""What the pages are made of: image, pill, gauge, legend and table."""

from __future__ import annotations

from dicomnode.domain.findings import (
    Finding,
    Presence,
    StudyFindings,
)
from dicomnode.picture import Picture
from dicomnode.results import statements
from dicomnode.results.canvas import (
    AMBER,
    BLACK,
    BODY,
    LARGE,
    OUTLINE,
    QUIET,
    RED,
    RULE,
    SMALL,
    TEXT,
    Box,
    Canvas,
    Colour,
)
from dicomnode.results.heatmap import HEAT, Anchors, colour_bar, overlay, plain
from dicomnode.results.wording import ENGLISH

COLOURS: dict[Presence, Colour] = {
    Presence.PRESENT: RED,
    Presence.UNDETERMINED: AMBER,
    Presence.ABSENT: QUIET,  # no reassuring green: below is not proof of absence
}
_ROW, _LEAST_ROW, _HEADINGS = 40, 26, 28
_NUMBER, _RESULT = 98, 124


def show(
    canvas: Canvas,
    box: Box,
    picture: Picture,
    finding: Finding | None = None,
    anchors: Anchors = HEAT,
) -> None:
    """The image in ``box``, with the map and the outlines of a finding if given."""
    activation_map = finding.activation_map if finding else None
    canvas.fill(box, BLACK)
    inside = canvas.in_pixels(box)
    fitted = picture.fitted((inside.width, inside.height))
    rows, columns = fitted.shape
    left = inside.left + (inside.width - columns) // 2
    top = inside.top + (inside.height - rows) // 2
    view = canvas.view(left, top, fitted.shape)
    if activation_map is None:
        plain(fitted, view)
    else:
        overlay(fitted, activation_map, anchors, view)
    scale = columns / picture.display.shape[1]
    for region in finding.regions if finding else ():
        points = [(left + scale * x, top + scale * y) for x, y in region.points]
        canvas.closed_line(points, OUTLINE)


def pill(canvas: Canvas, at: tuple[int, int], presence: Presence, size: int) -> int:
    """A word in a coloured frame; the row below it."""
    word = ENGLISH.presence(presence).upper()
    colour = COLOURS[presence]
    height = round(size * 1.75)
    box = Box(*at, canvas.width_of(word, size) + 24, height)
    canvas.outline(box, colour, height // 2)
    canvas.text((box.left + 12, box.top + height // 2), word, size, colour, "lm")
    return box.bottom


def gauge(canvas: Canvas, finding: Finding, place: Box) -> int:
    """The probability as number and bar, with the operating point on it."""
    if finding.probability is None:
        words = "A comparison of header and image; it has no probability."
        return canvas.paragraph(place, words, BODY, QUIET) + 18
    number = statements.percent(finding.probability)
    canvas.text((place.left, place.top), number, LARGE)
    kind = "probability" if finding.calibrated else "uncalibrated score"
    left = place.left + canvas.width_of(number, LARGE) + 12
    canvas.text((left, place.top + 30), kind, BODY, QUIET, "ls")
    bar = Box(place.left, place.top + 50, place.width, 12)
    canvas.fill(bar, RULE, 6)
    filled = max(12, round(bar.width * finding.probability))
    canvas.fill(Box(bar.left, bar.top, filled, bar.height), RED, 6)
    return _operating_point(canvas, finding, bar)


def _operating_point(canvas: Canvas, finding: Finding, bar: Box) -> int:
    point = finding.operating_point
    if point is None:
        return bar.bottom + 20
    column = bar.left + round(bar.width * point.threshold)
    canvas.fill(Box(column - 1, bar.top - 5, 3, bar.height + 10), TEXT)
    words = f"operating point {statements.percent(point.threshold)}"
    canvas.text((bar.left, bar.bottom + 12), words, SMALL, QUIET)
    return bar.bottom + 48


def legend(canvas: Canvas, box: Box, anchors: Anchors) -> int:
    """What the colours mean; the row below it."""
    inside = canvas.in_pixels(Box(box.left, box.top, box.width, 16))
    colour_bar(
        canvas.view(inside.left, inside.top, (inside.height, inside.width)), anchors
    )
    canvas.text((box.left, box.top + 22), "low", SMALL, QUIET)
    canvas.text((box.right, box.top + 22), "high", SMALL, QUIET, "ra")
    middle = (box.left + box.right) // 2, box.top + 22
    canvas.text(middle, "class activation", SMALL, QUIET, "ma")
    return box.top + 44


def table(canvas: Canvas, findings: StudyFindings, box: Box) -> None:
    """Every label with result and number, as many as fit in ``box``."""
    rows = statements.study_level(findings)
    room = box.height - _HEADINGS
    step = min(_ROW, max(_LEAST_ROW, room // max(1, len(rows))))
    n_shown = len(rows) if len(rows) * step <= room else max(1, room // step - 1)
    top = _table_headings(canvas, rows, box)
    for finding in rows[:n_shown]:
        _table_row(canvas, finding, Box(box.left, top, box.width, step))
        top += step
    if n_shown < len(rows):
        words = f"and {len(rows) - n_shown} more in the report"
        canvas.text((box.left, top + 6), words, SMALL, QUIET)


def _table_headings(canvas: Canvas, rows: tuple[Finding, ...], box: Box) -> int:
    numbers = [one.calibrated for one in rows if one.probability is not None]
    canvas.text((box.left, box.top), "Finding", SMALL, QUIET)
    canvas.text((box.right - _NUMBER, box.top), "AI result", SMALL, QUIET, "ra")
    if numbers:
        words = "probability" if all(numbers) else "score"
        canvas.text((box.right, box.top), words, SMALL, QUIET, "ra")
    canvas.fill(Box(box.left, box.top + _HEADINGS - 1, box.width, 1), RULE)
    return box.top + _HEADINGS


def _table_row(canvas: Canvas, finding: Finding, row: Box) -> None:
    canvas.fill(Box(row.left, row.bottom - 1, row.width, 1), RULE)
    middle = row.top + row.height // 2
    number = ""
    if finding.probability is not None:
        number = statements.percent(finding.probability)
    canvas.text((row.right, middle), number, BODY, TEXT, "rm")
    word = ENGLISH.presence(finding.presence)
    column = row.right - _NUMBER
    canvas.text((column, middle), word, BODY, COLOURS[finding.presence], "rm")
    room = row.width - _NUMBER - _RESULT
    name = statements.name_of(finding, ENGLISH)
    # Smaller before shorter: names may differ in their last word only.
    size = BODY if canvas.width_of(name, BODY) <= room else SMALL
    name = canvas.shorten(name, size, room)
    canvas.text((row.left, middle), name, size, TEXT, "lm")
