"""The structured report: TID 1500 in a Comprehensive, Comprehensive 3D or Enhanced SR.

The tree is the same in all three; only the SOP Class differs (PS3.3 A.35).
"""

from __future__ import annotations

from collections.abc import Iterable

from dicomnode.domain.findings import StudyFindings
from dicomnode.results.context import ReportContext, Unsealed
from dicomnode.results.document import document, set_completion
from dicomnode.results.references import Reference
from dicomnode.results.tree import measurement_report


def structured_report(
    context: ReportContext,
    findings: StudyFindings,
    companions: Iterable[Reference] = (),
) -> Unsealed:
    """The report of an analysed study; ``companions`` are its heat maps."""
    root = measurement_report(context, findings)
    made = document(context, "sr", root, companions)
    set_completion(made.dataset, missing_images(findings))
    return made


def missing_images(findings: StudyFindings) -> str:
    """What the report does not cover; empty when it covers every image."""
    if not findings.n_missed:
        return ""
    total = findings.n_analysed + findings.n_excluded
    return f"{findings.n_missed} of {total} images not analysed"
