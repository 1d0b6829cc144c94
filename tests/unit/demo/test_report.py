"""The page: complete in one file, escaped, and true."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from html.parser import HTMLParser

import pytest

from dicomnode.demo.cases import Case
from dicomnode.demo.outcome import Outcome
from dicomnode.demo.report import Run, page

Answer = Callable[..., Outcome]
RUN = Run(datetime(2026, 3, 4, tzinfo=UTC), 9.5, "MINIPACS", "DICOMNODE", "port = 1")
_VOID = {"img", "meta", "br", "hr"}


class _Checker(HTMLParser):
    """Notes addresses, and whether every element is closed where it must be."""

    def __init__(self) -> None:
        super().__init__()
        self.addresses: list[str] = []
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.addresses += [
            value or "" for name, value in attrs if name in {"src", "href"}
        ]
        if tag not in _VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def _checked(html: str) -> _Checker:
    checker = _Checker()
    checker.feed(html)
    checker.close()
    assert checker.open == []
    return checker


def test_every_answer_is_as_expected(outcomes: list[Outcome]) -> None:
    assert [one.differences for one in outcomes] == [()] * len(outcomes)
    html = page(outcomes, RUN)
    assert f"{len(outcomes)} studies in, every answer as expected" in html
    assert "Research use only" in html


def test_the_page_needs_nothing_beside_its_own_files(outcomes: list[Outcome]) -> None:
    html = page(outcomes, RUN)
    ours = {"report.html", "heatmap.png", "result_sr.dcm", "worklist.db"}
    for address in _checked(html).addresses:
        assert address.startswith("data:image/") or address in ours
    assert "http://" not in html
    assert "https://" not in html
    assert "url(" not in html


def test_the_report_is_shown_as_it_came_back(
    case_named: dict[str, Case], answer: Answer
) -> None:
    html = page([answer(case_named["rotated-90"])], RUN)
    assert "Rotated 90 degrees" in html
    assert re.search(
        r"Rotated 90 degrees<div[^>]*>[^<]*</div></td><td><span[^>]*>Present<", html
    )
    assert re.search(r"Inverted</td><td><span[^>]*>Absent<", html)
    assert "97 %" in html
    assert "Imaging Measurement Report" in html
    assert html.count("data:image/jpeg") == 2


def test_texts_from_outside_are_escaped(
    case_named: dict[str, Case], answer: Answer
) -> None:
    case = replace(case_named["rotated-90"], title="<script>alert(1)</script>")
    outcome = answer(case, row={"error": "<i>", "job_state": "<u>"})
    html = page([outcome], replace(RUN, pacs="<PACS>"))
    assert "<script" not in html
    assert "<b>&</b>" not in html
    assert "&lt;b&gt;&amp;&lt;/b&gt;" in html
    assert "<PACS>" not in html
    _checked(html)


@pytest.mark.parametrize(
    ("present", "words"),
    [
        (frozenset[str](), "the finding inverted is missing"),
        (
            frozenset({"inverted", "rotated-90"}),
            "the finding rotated-90 must not be there",
        ),
    ],
)
def test_a_wrong_answer_is_told(
    case_named: dict[str, Case], answer: Answer, present: frozenset[str], words: str
) -> None:
    outcome = answer(case_named["inverted"], present)
    assert outcome.differences == (words,)
    html = page([outcome], RUN)
    assert "1 of 1 studies did not end as expected" in html
    assert words in html


def test_a_study_not_analysed_against_expectation_is_told(
    case_named: dict[str, Case], answer: Answer
) -> None:
    outcome = answer(case_named["upright"], reason="outside the model's domain")
    (words,) = outcome.differences
    assert words.startswith("the worklist says NOT_ANALYSED and not ANALYSED")


def test_a_study_without_results_is_told(
    case_named: dict[str, Case], answer: Answer
) -> None:
    case = case_named["upright"]
    outcome = replace(answer(case), report=None, captures=(), series=("DX",))
    assert outcome.differences == ("the PACS has no Structured Report",)
    assert "the PACS has no Structured Report" in page([outcome], RUN)


def test_an_unknown_study_makes_a_page_too(case_named: dict[str, Case]) -> None:
    outcome = Outcome(case_named["ct"], {}, (), (), None, ())
    assert outcome.differences == ("the worklist says nothing and not NOT_ROUTED",)
    _checked(page([outcome], RUN))
