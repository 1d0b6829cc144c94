"""The result for a study that was not analysed: never silence, never a negative."""

from __future__ import annotations

from dicomnode.domain.findings import StudyFindings
from dicomnode.results import statements
from dicomnode.results.context import ReportContext, Unsealed
from dicomnode.results.document import document, set_completion
from dicomnode.results.text_sr import text_document
from dicomnode.results.tree import not_analysed_report

_MISSING = "Not analysed; see the conclusion"


def structured_refusal(context: ReportContext, findings: StudyFindings) -> Unsealed:
    """TID 1500 without Measurement Groups; the conclusion gives the reason."""
    made = document(context, "sr", not_analysed_report(context, findings))
    set_completion(made.dataset, _MISSING)
    return made


def text_refusal(context: ReportContext, findings: StudyFindings) -> Unsealed:
    """The same as a Basic Text SR."""
    words = context.words
    conclusion = statements.not_analysed_conclusion(
        findings, context.bundle, words, replaces=context.replaces
    )
    lines = list(statements.exclusions(findings, words))
    made = text_document(context, conclusion, lines)
    set_completion(made.dataset, _MISSING)
    return made
