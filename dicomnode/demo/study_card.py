"""One study in the report: what was sent, what was found, and by what words."""

from __future__ import annotations

from collections.abc import Iterator

from dicomnode.demo.cases import ANALYSED, NOT_ANALYSED, NOT_ROUTED
from dicomnode.demo.outcome import Outcome
from dicomnode.results.markup import Html, element
from dicomnode.results.pictures import preview, radiograph
from dicomnode.results.showing import figure, statements, tree

_FILM_HEIGHT, _CAPTURE_HEIGHT = 500, 720
_WORDS = {
    ANALYSED: "analysed",
    NOT_ANALYSED: "not analysed",
    NOT_ROUTED: "not routed: no pipeline wants it",
}


def study_card(outcome: Outcome) -> Html:
    """The whole card."""
    film = figure(
        radiograph(outcome.case.thumbnail, _FILM_HEIGHT),
        "As sent, as a viewer shows it",
    )
    words = element("div", _verdict(outcome), *_conclusion(outcome))
    return element(
        "section",
        _header(outcome),
        element("p", outcome.case.story, class_="soft"),
        element("div", film, words, class_="study"),
        element("div", *_captures(outcome), *_statements(outcome), class_="evidence"),
        *_tree(outcome),
        class_="card",
        id=outcome.case.name,
    )


def _header(outcome: Outcome) -> Html:
    as_expected = not outcome.differences
    return element(
        "header",
        element("h3", outcome.case.title),
        element("span", outcome.case.transfer_syntax_uid.name, class_="chip"),
        element(
            "span",
            "✓ as expected" if as_expected else "✗ not as expected",
            class_="chip good" if as_expected else "chip bad",
        ),
    )


def _captures(outcome: Outcome) -> Iterator[Html]:
    n_captures = len(outcome.captures)
    for number, capture in enumerate(outcome.captures, start=1):
        yield figure(
            preview(capture, _CAPTURE_HEIGHT),
            f"Secondary capture {number} of {n_captures}, from the PACS",
        )


def _verdict(outcome: Outcome) -> Html:
    lines = [
        ("Expected", _expected(outcome)),
        ("Found", _found(outcome)),
        ("In the PACS", _in_the_pacs(outcome)),
    ]
    if outcome.differences:
        lines.append(("Differs", "; ".join(outcome.differences)))
    pairs = [
        part
        for term, words in lines
        for part in (element("dt", term), element("dd", words))
    ]
    return element("dl", *pairs, class_="verdict")


def _in_the_pacs(outcome: Outcome) -> str:
    named = {"SR": "Structured Report (SR)", "OT": "Secondary Capture (OT)"}
    words = [named.get(modality, modality) for modality in reversed(outcome.series)]
    return ", ".join(words) or "nothing from the node"


def _expected(outcome: Outcome) -> str:
    expected = outcome.case.expected
    if expected.outcome != ANALYSED:
        return _WORDS[expected.outcome]
    return ", ".join(sorted(expected.present)) or "nothing to report"


def _found(outcome: Outcome) -> str:
    if outcome.found != ANALYSED or outcome.report is None:
        words = _WORDS.get(outcome.found, outcome.found)
        return f"{words}: {outcome.reason}" if outcome.reason else words
    reading = outcome.report.reading
    if not reading.present:
        return "nothing to report"
    labels = ", ".join(sorted(reading.labels))
    return f"{', '.join(one.meaning for one in reading.present)} ({labels})"


def _conclusion(outcome: Outcome) -> Iterator[Html]:
    if outcome.report is not None:
        yield element("h4", "The Structured Report, read back from the PACS")
        yield element("blockquote", outcome.report.reading.conclusion)


def _statements(outcome: Outcome) -> Iterator[Html]:
    if outcome.report is None or not outcome.report.reading.statements:
        return
    heading = element("h4", "Findings in the report")
    yield element("div", heading, statements(outcome.report.reading))


def _tree(outcome: Outcome) -> Iterator[Html]:
    if outcome.report is not None:
        yield tree(outcome.report.reading)
