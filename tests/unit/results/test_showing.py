"""The page for people: what the objects say, escaped, alone, and without a name."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from dicomnode.domain.findings import StudyFindings
from dicomnode.results import ReportContext, build
from dicomnode.results.showing import page
from tests.unit.results import cases


def shown(findings: StudyFindings, context: ReportContext | None = None) -> str:
    built = build(context or cases.context(), findings, ["sr", "sc"])
    return page([one.dataset for one in built])


def test_a_report_is_shown_with_its_findings_and_pictures() -> None:
    html = shown(cases.positive())
    assert html.startswith("<!doctype html>")
    assert "Research use only" in html
    assert "All algorithms succeeded; with findings" in html
    assert "Certainty of Finding 91.4 %" in html
    assert 'class="chip warn">Present' in html
    assert html.count('src="data:image/jpeg;base64,') == 3
    assert html.count("<details>") == 2
    assert "cxr-findings 1.2.0" in html
    assert "UNVERIFIED" in html


def test_it_needs_nothing_from_elsewhere() -> None:
    html = shown(cases.positive())
    assert not re.search(r'(src|href)="(?!data:)', html)
    assert "<script" not in html
    assert "@import" not in html
    assert "url(" not in html


def test_no_patient_is_on_it() -> None:
    html = shown(cases.positive())
    for word in ("Müller", "P-001", "19561224", "Bär"):
        assert word not in html


def test_words_from_elsewhere_are_escaped() -> None:
    evil = cases.finding("Pneumonia", 0.9, text='<script>alert("x")</script>')
    coded = replace(evil, code=replace(evil.code, meaning="<b>bold</b>"))
    html = shown(StudyFindings(images=(cases.image(coded),)))
    assert "<script" not in html
    assert "<b>bold" not in html
    assert "&lt;script&gt;" in html


def test_a_refusal_says_why_and_what_it_replaces() -> None:
    context = cases.context(earlier=(cases.kept(7), cases.kept(8, "sr-text")))
    html = shown(cases.not_analysed(), context)
    assert "Not analysed: the study holds no frontal chest radiograph." in html
    assert "<h1>AI report: Not analysed</h1>" in html
    assert "without findings</h1>" not in html
    assert cases.kept(7).sop_instance_uid in html
    assert "Findings</h2>" not in html


def test_a_text_report_alone_can_be_shown() -> None:
    html = shown(cases.positive(), cases.context(profile="basic-text"))
    assert "Pneumonia: present (probability 91.4 %" in html


def test_without_a_report_there_is_no_page() -> None:
    built = build(cases.context(), cases.positive(), ["sc"])
    with pytest.raises(ValueError, match="no report"):
        page([one.dataset for one in built])
