"""Findings as a site wants to see them: other codes, no maps. Pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from dicomnode.domain.findings import Finding, StudyFindings
from dicomnode.results.vocabulary import recoded


def without_maps(findings: StudyFindings) -> StudyFindings:
    """The same without class activation maps: no heat map can be drawn."""
    return _each(findings, lambda one: replace(one, activation_map=None))


def in_scheme(findings: StudyFindings, code_scheme: str) -> StudyFindings:
    """The same with the codes of ``code_scheme`` (see vocabulary.CODE_SCHEMES)."""
    return _each(
        findings, lambda one: replace(one, code=recoded(one.code, code_scheme))
    )


def _each(
    findings: StudyFindings, change: Callable[[Finding], Finding]
) -> StudyFindings:
    images = tuple(
        replace(image, findings=tuple(map(change, image.findings)))
        for image in findings.images
    )
    return replace(findings, images=images)
