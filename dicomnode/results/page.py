"""The pages of the Secondary Capture: a summary, and one heat map for each positive.

No page carries a name or a number of a patient: the viewer shows them beside it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from dicomnode.domain.findings import (
    BoxSize,
    BundleFacts,
    Finding,
    ImageFindings,
    Pixels8,
    Presence,
    StudyFindings,
)
from dicomnode.picture import Picture
from dicomnode.results import statements
from dicomnode.results.canvas import (
    AMBER,
    BODY,
    LARGE,
    MEDIUM,
    PANEL,
    QUIET,
    RULE,
    SMALL,
    TEXT,
    Box,
    Canvas,
)
from dicomnode.results.heatmap import COLD, HEAT, Rgb8
from dicomnode.results.marks import COLOURS, gauge, legend, pill, show, table
from dicomnode.results.wording import ENGLISH

# Units of the page, and the pixels of the smallest.
WIDTH, HEIGHT = 1440, 1080
_BAND = 64
_VIEW = Box(16, _BAND + 12, 936, HEIGHT - 2 * _BAND - 24)
_SIDE = Box(976, _BAND + 12, WIDTH - 976 - 24, _VIEW.height)
_INSET = 272
_EXPLAINED = _INSET - 20
VIEWS: tuple[BoxSize, ...] = (
    (_VIEW.width, _VIEW.height),
    (_SIDE.width, _EXPLAINED),
)
"""Sizes in which a summary shows its image: it is quicker with these made already."""

_NAMED = 3
_MOST_HEAT_PAGES = 24
# Pages as large as their image, 20 to 30 MB each; those of less probable findings
# are of the common size.
_MOST_LARGE_PAGES = 4
_LONGEST_SIDE = 2500
_MOST_LINES = 5
_NOT_A_BOUNDARY = (
    "Colour shows where the network's activation for this label is highest, relative "
    "within this image. It is neither a segmentation nor a measurement."
)


@dataclass(frozen=True, slots=True)
class Page:
    """A finished page and what it was made from.

    ``frames``: SOP Instance UID -> the frames (from 1) of a multi-frame object; none
    of an object of one frame.
    """

    pixels: Rgb8
    caption: str
    frames: Mapping[str, tuple[int, ...]]


def pages(findings: StudyFindings, bundle: BundleFacts) -> Iterator[Page]:
    """The summary first, then a heat map for each positive finding that has one.

    When nothing is positive there is only the summary. Each is drawn when it is asked
    for.
    """
    yield summary_page(findings, bundle)
    yield from _heat_pages(findings, bundle)


def explained(findings: StudyFindings) -> Finding | None:
    """The finding whose map the summary shows: the most telling that has one."""
    mapped = [
        finding
        for image in findings.images
        for finding in image.findings
        if finding.activation_map is not None
    ]
    if not mapped:
        return None
    return max(mapped, key=_prominence)


def _prominence(finding: Finding) -> tuple[bool, float]:
    return finding.presence is Presence.PRESENT, finding.probability or 0.0


def _heat_pages(findings: StudyFindings, bundle: BundleFacts) -> Iterator[Page]:
    for number, finding in enumerate(_mapped_positives(findings)[:_MOST_HEAT_PAGES]):
        large = number < _MOST_LARGE_PAGES
        yield heat_page(finding, findings, bundle, large=large)


def _mapped_positives(findings: StudyFindings) -> list[Finding]:
    return [
        one
        for one in findings.positives
        if one.activation_map is not None or one.regions
    ]


def heat_page(
    finding: Finding,
    findings: StudyFindings,
    bundle: BundleFacts,
    *,
    large: bool = True,
) -> Page:
    """One positive finding: the map over the image, its probability beside it.

    ``large``: the image has its own rows and columns, up to 2500 on the longer side,
    and the page grows around it.
    """
    picture = _picture(findings, finding)
    scale = _scale_for(picture.display) if large else Fraction(1)
    canvas = _framed("Heat map", bundle, scale)
    show(canvas, _VIEW, picture, finding, HEAT)
    top = _headline(canvas, finding)
    top = gauge(canvas, finding, Box(_SIDE.left, top, _SIDE.width, 60))
    top = legend(canvas, Box(_SIDE.left, top, _SIDE.width, 40), HEAT)
    note = Box(_SIDE.left, top + 10, _SIDE.width, 100)
    top = canvas.paragraph(note, _NOT_A_BOUNDARY, SMALL, QUIET)
    _plain_inset(canvas, picture, top + 14, _place(findings, finding))
    caption = f"Heat map: {statements.line(finding, ENGLISH)}"
    return Page(canvas.pixels(), caption, _frames([finding]))


def summary_page(findings: StudyFindings, bundle: BundleFacts) -> Page:
    """The image as it is, a table of every label, and one captioned map."""
    canvas = _framed("Summary", bundle)
    chosen = explained(findings)
    picture = _picture(findings, chosen or findings.images[0])
    show(canvas, _VIEW, picture)
    top = _verdict(canvas, findings)
    room = _SIDE.bottom - top - (_INSET + 96 if chosen else 0)
    table(canvas, findings, Box(_SIDE.left, top, _SIDE.width, room))
    if chosen is not None:
        _explained_inset(canvas, picture, chosen)
    caption = f"Summary: {_verdict_words(findings)}"
    return Page(canvas.pixels(), caption, _frames(findings.images))


def _frames(
    named: Iterable[Finding | ImageFindings],
) -> dict[str, tuple[int, ...]]:
    found: dict[str, tuple[int, ...]] = {}
    for one in named:
        frame = () if one.frame_number is None else (one.frame_number,)
        found[one.sop_instance_uid] = found.get(one.sop_instance_uid, ()) + frame
    return found


def _scale_for(display: Pixels8) -> Fraction:
    """Pixels for each unit, so that the view is as large as the image; at least 1."""
    rows, columns = display.shape
    kept = min(Fraction(1), Fraction(_LONGEST_SIDE, max(rows, columns)))
    needed = max(Fraction(rows, _VIEW.height), Fraction(columns, _VIEW.width))
    return max(Fraction(1), kept * needed)


def _framed(title: str, bundle: BundleFacts, scale: Fraction = Fraction(1)) -> Canvas:
    canvas = Canvas(WIDTH, HEIGHT, scale)
    canvas.fill(Box(0, 0, WIDTH, _BAND), PANEL)
    canvas.fill(Box(0, HEIGHT - _BAND, WIDTH, _BAND), PANEL)
    mark = "RESEARCH USE ONLY"
    width = canvas.width_of(mark, MEDIUM) + 36
    badge = Box(WIDTH - width - 24, 10, width, _BAND - 20)
    canvas.outline(badge, AMBER, 8)
    middle = badge.left + width // 2, _BAND // 2
    canvas.text(middle, mark, MEDIUM, AMBER, "mm", PANEL)
    words = f"AI {title}  |  {statements.algorithm(bundle)}"
    words = canvas.shorten(words, MEDIUM, badge.left - 48)
    canvas.text((24, _BAND // 2), words, MEDIUM, TEXT, "lm", PANEL)
    foot = f"{' '.join(ENGLISH.disclaimer)}  {ENGLISH.below_is_not_absent}"
    foot = canvas.shorten(foot, SMALL, WIDTH - 48)
    canvas.text((24, HEIGHT - _BAND // 2), foot, SMALL, QUIET, "lm", PANEL)
    return canvas


def _headline(canvas: Canvas, finding: Finding) -> int:
    name = Box(_SIDE.left, _SIDE.top, _SIDE.width, 92)
    top = canvas.paragraph(name, statements.name_of(finding, ENGLISH), LARGE)
    top = pill(canvas, (_SIDE.left, top + 8), finding.presence, BODY)
    if finding.text:
        words = Box(_SIDE.left, top + 12, _SIDE.width, 80)
        top = canvas.paragraph(words, finding.text, BODY, TEXT)
    return top + 14


def _plain_inset(canvas: Canvas, picture: Picture, top: int, place: str) -> None:
    height = min(_INSET + 40, _SIDE.bottom - top - 26)
    box = Box(_SIDE.left, _SIDE.bottom - height - 26, _SIDE.width, height)
    show(canvas, box, picture)
    words = f"Without the map  |  {place}"
    canvas.text((box.left, box.bottom + 6), words, SMALL, QUIET)


def _verdict_words(findings: StudyFindings) -> str:
    names = [
        statements.name_of(one, ENGLISH)
        for one in statements.study_level(findings)
        if one.presence is Presence.PRESENT
    ]
    if len(names) > _NAMED:
        return f"AI suggests {len(names)} findings."
    return f"AI suggests: {', '.join(names)}" if names else ENGLISH.no_finding


def _verdict(canvas: Canvas, findings: StudyFindings) -> int:
    box = Box(_SIDE.left, _SIDE.top, _SIDE.width, 100)
    top = canvas.paragraph(box, _verdict_words(findings), MEDIUM)
    lines = [
        statements.category_line(one, ENGLISH)
        for one in statements.study_categories(findings)
    ]
    lines += list(statements.exclusions(findings, ENGLISH))
    lines += list(statements.series_read(findings, ENGLISH))
    total = len(findings.images)
    if total > 1 and not findings.series:
        lines.append(f"{total} images analysed; one is shown here.")
    n_without = len(_mapped_positives(findings)) - _MOST_HEAT_PAGES
    if n_without > 0:
        lines.append(f"{n_without} less probable findings have no page of their own.")
    for line in lines[:_MOST_LINES]:
        box = Box(_SIDE.left, top + 4, _SIDE.width, 66)
        top = canvas.paragraph(box, line, BODY, QUIET)
    return top + 16


def _explained_inset(canvas: Canvas, picture: Picture, finding: Finding) -> None:
    positive = finding.presence is Presence.PRESENT
    anchors = HEAT if positive else COLD
    top = _SIDE.bottom - _INSET - 80
    canvas.fill(Box(_SIDE.left, top - 8, _SIDE.width, 1), RULE)
    result = f": {ENGLISH.presence(finding.presence).upper()}"
    if finding.probability is not None:
        result += f", {statements.percent(finding.probability)}"
    # A long name gives way to the number, which must not be cut.
    room = _SIDE.width - canvas.width_of(result, BODY)
    name = canvas.shorten(statements.name_of(finding, ENGLISH), BODY, room)
    canvas.text((_SIDE.left, top), name + result, BODY, COLOURS[finding.presence])
    note = (
        "Class activation of the most probable finding"
        if positive
        else "Where the network looked; this is not a finding"
    )
    canvas.text((_SIDE.left, top + 26), note, SMALL, QUIET)
    box = Box(_SIDE.left, top + 52, _SIDE.width, _EXPLAINED)
    show(canvas, box, picture, finding, anchors)
    legend(canvas, Box(_SIDE.left, box.bottom + 8, _SIDE.width, 40), anchors)


def _picture(findings: StudyFindings, stated: Finding | ImageFindings) -> Picture:
    place = stated.sop_instance_uid, stated.frame_number
    for image in findings.images:
        here = image.sop_instance_uid, image.frame_number
        if here == place and image.display is not None:
            return Picture(image.display, image.views)
    # A bundle that gives no display image still gets its table.
    return Picture(np.zeros((512, 512), dtype=np.uint8))


def _place(findings: StudyFindings, finding: Finding) -> str:
    if finding.slices:
        top = max(finding.slices, key=lambda one: one.probability)
        place = "" if top.position_mm is None else f" at {top.position_mm:.1f} mm"
        return f"slice {top.number}{place}"
    uids = [image.sop_instance_uid for image in findings.images]
    number = uids.index(finding.sop_instance_uid) + 1
    return f"image {number} of {len(uids)}"
