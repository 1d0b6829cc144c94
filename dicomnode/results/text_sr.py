"""The companion for viewers that show no TID 1500: a Basic Text SR (TID 2000)."""

from __future__ import annotations

import textwrap
from functools import lru_cache

from dicomnode.domain.findings import StudyFindings
from dicomnode.results import codes, statements
from dicomnode.results.content import Content
from dicomnode.results.context import ReportContext, Unsealed
from dicomnode.results.document import document, set_completion
from dicomnode.results.items import container, image_item, text_item
from dicomnode.results.references import is_image, reference_to
from dicomnode.results.sr import missing_images
from dicomnode.results.tree import language, observer

_LINE = 110  # OHIF shows a TEXT as <pre> and does not wrap it
_LINES_KEPT = 1024
"""Lines kept as wrapped: reports of one bundle say much the same."""


def text_report(context: ReportContext, findings: StudyFindings) -> Unsealed:
    """The same statements in words, one line for each label."""
    words = context.words
    lines = [statements.line(one, words) for one in statements.study_level(findings)]
    lines += [
        statements.category_line(one, words)
        for one in statements.study_categories(findings)
    ]
    conclusion = statements.conclusion(
        findings, context.bundle, words, replaces=context.replaces
    )
    made = text_document(context, conclusion, lines)
    set_completion(made.dataset, missing_images(findings))
    return made


def text_document(
    context: ReportContext, conclusion: str, lines: list[str]
) -> Unsealed:
    """A Basic Text SR with a conclusion and lines of findings."""
    findings: list[Content] = [text_item(codes.FINDING, wrap(one)) for one in lines]
    findings += [
        text_item(codes.COMMENT, wrap(one)) for one in _algorithm_lines(context)
    ]
    findings += [
        image_item(codes.SOURCE_OF_MEASUREMENT, reference_to(one))
        for one in context.sources
        if is_image(one)
    ]
    children = [
        language(context),
        *observer(context.bundle, context.node.manufacturer),
        container(codes.CONCLUSIONS, [text_item(codes.CONCLUSION, wrap(conclusion))]),
        container(codes.FINDINGS, findings),
    ]
    root = container(codes.DIAGNOSTIC_IMAGING_REPORT, children, None, "2000")
    return document(context, "sr-text", root)


@lru_cache(_LINES_KEPT)
def wrap(text: str) -> str:
    """``text`` in lines of at most 110 characters, its own line ends kept."""
    return "\n".join(
        line for words in text.splitlines() for line in textwrap.wrap(words, _LINE)
    )


def _algorithm_lines(context: ReportContext) -> tuple[str, str]:
    words, bundle = context.words, context.bundle
    cited = words.algorithm.format(algorithm=statements.algorithm(bundle))
    if bundle.intended_use:
        use = statements.sentence(bundle.intended_use)
        cited = f"{cited} {words.intended_use.format(use=use)}"
    return cited, words.bundle.format(digest=bundle.digest)
