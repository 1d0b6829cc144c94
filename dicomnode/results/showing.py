"""Results rendered for people: one page that needs no other file and no network.

It shows what the objects say, read as any viewer reads them, and no patient identity:
such a page ends in tickets and mails.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from importlib.resources import files

from pydicom.dataset import Dataset

from dicomnode.results.markup import Html, element
from dicomnode.results.pictures import data_uri, preview
from dicomnode.results.reading import Item, Reading, Statement, read

RESEARCH = (
    "Research use only. Not a medical device; no result on this page may be used for "
    "the diagnosis or treatment of a person."
)
_CHIPS = {"Present": "chip warn", "Absent": "chip good", "Undetermined": "chip"}
_PAGE_HEIGHT = 1080


def stylesheet() -> str:
    """The style of every page that shows results."""
    return files(__package__).joinpath("report.css").read_text(encoding="utf-8")


def document(title: str, sections: Sequence[str]) -> str:
    """A complete HTML document with the research banner above everything."""
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", name="viewport", content="width=device-width,initial-scale=1"),
        element("title", title),
        element("style", Html(stylesheet())),
    )
    body = element(
        "body",
        element("div", RESEARCH, class_="banner", role="note"),
        element("main", *sections),
    )
    return f"<!doctype html>\n{element('html', head, body, lang='en')}\n"


def page(results: Sequence[Dataset]) -> str:
    """The page of one job's results: its report, its pictures, every content item.

    Raises ValueError when there is no report among ``results``.
    """
    reports = [one for one in results if "ContentSequence" in one]
    if not reports:
        raise ValueError("no report among the results")
    # A measurement report says more to a program, a text report has the lines.
    main = max(reports, key=lambda one: str(one.SOPClassUID) != _BASIC_TEXT)
    reading = read(main)
    captures = [one for one in results if "PixelData" in one]
    sections = [
        element("h1", f"AI report: {reading.heading}"),
        element("section", _facts(main, reading), class_="card"),
        element("h2", "Conclusion"),
        element("section", element("blockquote", reading.conclusion), class_="card"),
        *_findings(reading),
        *_pictures(captures),
        element("h2", "Every content item"),
        *(tree(read(one)) for one in reports),
    ]
    return document("AI report - research use only", sections)


_BASIC_TEXT = "1.2.840.10008.5.1.4.1.1.88.11"


def _facts(report: Dataset, reading: Reading) -> Html:
    made = f"{report.get('ContentDate', '')} {str(report.get('ContentTime', ''))[:6]}"
    lines = [
        ("Made by", reading.device),
        ("At", f"{made} {report.get('TimezoneOffsetFromUTC', '')}".strip()),
        ("Series", str(report.get("SeriesDescription", ""))),
        ("Status", f"{report.CompletionFlag}, {report.VerificationFlag}"),
        ("Missing", str(report.get("CompletionFlagDescription", ""))),
        ("Study", str(report.StudyInstanceUID)),
        ("Accession", str(report.get("AccessionNumber", "") or "")),
        ("This report", str(report.SOPInstanceUID)),
        ("Replaces", ", ".join(_replaced(report))),
        ("Patient", "left out of this page on purpose"),
    ]
    pairs = [
        part
        for term, words in lines
        if words
        for part in (element("dt", term), element("dd", words))
    ]
    return element("dl", *pairs, class_="verdict")


def _replaced(report: Dataset) -> Iterator[str]:
    for study in report.get("PredecessorDocumentsSequence") or ():
        for series in study.ReferencedSeriesSequence:
            for one in series.ReferencedSOPSequence:
                yield str(one.ReferencedSOPInstanceUID)


def _findings(reading: Reading) -> Iterator[Html]:
    if reading.statements:
        yield element("h2", "Findings")
        yield element("section", statements(reading), class_="card")


def _pictures(captures: Sequence[Dataset]) -> Iterator[Html]:
    if captures:
        yield element("h2", "Summary and heat maps")
    for number, capture in enumerate(captures, 1):
        words = str(capture.get("ImageComments", "")) or f"Secondary capture {number}"
        picture = figure(preview(capture, _PAGE_HEIGHT), words)
        yield element("section", picture, class_="card wide")


def figure(encoded: bytes, words: str) -> Html:
    """A picture with the words below it."""
    image = element("img", src=data_uri(encoded), alt=words)
    return element("figure", image, element("figcaption", words))


def statements(reading: Reading) -> Html:
    """Every finding with its presence, and the operating points."""
    rows = [
        element(
            "tr",
            element("td", one.meaning, *_details(one)),
            element("td", element("span", one.presence, class_=_CHIPS[one.presence])),
        )
        for one in reading.statements
    ]
    points = "; ".join(reading.operating_points)
    return element(
        "div",
        element("table", *rows),
        element("p", f"Operating points: {points}." if points else "", class_="fine"),
    )


def _details(statement: Statement) -> Iterator[Html]:
    if statement.details:
        yield element("div", "; ".join(statement.details), class_="fine")


def tree(reading: Reading) -> Html:
    """The content tree, folded away."""
    return element(
        "details",
        element("summary", f"Every content item of “{reading.title}”"),
        element("ul", _item(reading.tree), class_="tree"),
    )


def _item(item: Item) -> Html:
    parts: list[str] = [element("span", item.value_type, class_="type")]
    parts.append(element("b", item.name))
    if item.value:
        parts.append(f": {item.value}")
    if item.children:
        parts.append(element("ul", *map(_item, item.children)))
    return element("li", *parts)
