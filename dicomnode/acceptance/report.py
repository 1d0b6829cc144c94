"""The report that a site files: one page and the same as JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path

from dicomnode.acceptance.case import Outcome, Verdict
from dicomnode.results.markup import Html, element, prose
from dicomnode.results.showing import RESEARCH, document

_CHIPS = {
    Verdict.PASSED: "chip good",
    Verdict.FAILED: "chip bad",
    Verdict.NOT_RUN: "chip",
}
_SIGNS = {Verdict.PASSED: "✓", Verdict.FAILED: "✗", Verdict.NOT_RUN: "–"}
_ROLES = ("Tested by", "PACS administrator", "Medical physics or department")
_COLUMNS = ("", "Case", "Expected", "Seen", "Remedy")


@dataclass(frozen=True, slots=True)
class Subject:
    """What was tested: ``at`` is aware UTC, ``configuration`` a sha256.

    ``bundles`` name version and digest. ``whose`` says whether it was the site's node.
    """

    at: datetime
    site: str
    node: str
    whose: str
    version: str
    configuration: str
    bundles: tuple[str, ...]
    tester: str


def write(out: Path, subject: Subject, outcomes: Sequence[Outcome]) -> Path:
    """Write both files into ``out``; the page."""
    stem = f"acceptance-{subject.at:%Y%m%dT%H%M%SZ}"
    out.mkdir(parents=True, exist_ok=True)
    table = as_table(subject, outcomes)
    text = json.dumps(table, indent=2, ensure_ascii=False)
    (out / f"{stem}.json").write_text(f"{text}\n", encoding="utf-8")
    file = out / f"{stem}.html"
    file.write_text(page(subject, outcomes), encoding="utf-8")
    return file


def as_table(subject: Subject, outcomes: Sequence[Outcome]) -> dict[str, object]:
    """The whole report as plain values."""
    at = subject.at.isoformat(timespec="seconds").replace("+00:00", "Z")
    return {
        "notice": RESEARCH,
        **asdict(subject),
        "at": at,
        "passed": not failures(outcomes),
        "cases": [asdict(one) for one in outcomes],
    }


def failures(outcomes: Sequence[Outcome]) -> list[Outcome]:
    """The cases that failed."""
    return [one for one in outcomes if one.verdict is Verdict.FAILED]


def page(subject: Subject, outcomes: Sequence[Outcome]) -> str:
    """The report as one HTML document."""
    sections = [
        element("h1", _headline(outcomes)),
        element("p", "Acceptance test of a DICOM AI node, with phantoms only.",
                class_="lead"),
        _facts(subject),
        element("h2", "Cases"),
        _cases(outcomes),
        element("h2", "Signatures"),
        _signatures(),
    ]  # fmt: skip
    return document(f"Acceptance test, {subject.site or subject.node}", sections)


def _headline(outcomes: Sequence[Outcome]) -> str:
    failed = len(failures(outcomes))
    n_run = sum(one.verdict is not Verdict.NOT_RUN for one in outcomes)
    if failed:
        return f"Not accepted: {failed} of {n_run} cases failed"
    return f"{n_run} of {n_run} cases passed"


def _facts(subject: Subject) -> Html:
    facts = (
        ("Site", subject.site or "not named (audit.site_id, or --site)"),
        ("Date", f"{subject.at:%Y-%m-%d %H:%M:%S} UTC"),
        ("Node", f"{subject.node} ({subject.whose})"),
        ("Version", f"dicomnode {subject.version}"),
        ("Bundles", "; ".join(subject.bundles) or "none"),
        ("Configuration", f"sha256 {subject.configuration}, secrets masked"),
        ("Run by", subject.tester),
    )
    pairs = [
        part
        for term, words in facts
        for part in (element("dt", term), element("dd", words))
    ]
    return element("dl", *pairs, class_="verdict")


def _cases(outcomes: Sequence[Outcome]) -> Html:
    head = element("tr", *(element("th", one) for one in _COLUMNS))
    return element(
        "table", element("thead", head), element("tbody", *map(_row, outcomes))
    )


def _row(one: Outcome) -> Html:
    words = f"{_SIGNS[one.verdict]} {one.verdict}"
    chip = element("span", words, class_=_CHIPS[one.verdict])
    case = element("td", element("strong", one.title), " ", element("code", one.name))
    texts = (
        element("td", prose(text)) for text in (one.expected, one.seen, one.remedy)
    )
    return element("tr", element("td", chip), case, *texts)


def _signatures() -> Html:
    head = element(
        "tr", *(element("th", one) for one in ("", "Name", "Date", "Signature"))
    )
    rows = (
        element(
            "tr", element("th", role), *(element("td", "\u00a0" * 30) for _ in range(3))
        )
        for role in _ROLES
    )
    return element("table", head, *rows)
