"""Findings in words: one statement for each label of the study. No DICOM here."""

from __future__ import annotations

from collections.abc import Iterable

from dicomnode.domain.findings import (
    BundleFacts,
    Category,
    Code,
    Finding,
    Presence,
    StudyFindings,
)
from dicomnode.results import codes

DISCLAIMER = (
    "Automated AI result, not verified by a physician.",
    "Research use only. Not for primary diagnosis.",
)
NO_FINDING = "No finding reached its operating point."
BELOW_IS_NOT_ABSENT = (
    "A result below its operating point does not prove that the finding is absent."
)
_ORDER = (Presence.PRESENT, Presence.UNDETERMINED, Presence.ABSENT)
_WORDS = {
    Presence.PRESENT: "present",
    Presence.ABSENT: "absent",
    Presence.UNDETERMINED: "undetermined",
}
_CEILING, _FLOOR = 99.95, 0.05


def study_level(findings: StudyFindings) -> tuple[Finding, ...]:
    """For each label the finding that speaks for the study, positives first.

    Present if it is present in any image, else undetermined if in any, else absent;
    of several images the most probable one.
    """
    best: dict[str, Finding] = {}
    for image in findings.images:
        for finding in image.findings:
            rival = best.get(finding.label)
            if rival is None or _rank(finding) < _rank(rival):
                best[finding.label] = finding
    return tuple(sorted(best.values(), key=_rank))


def study_categories(findings: StudyFindings) -> tuple[Category, ...]:
    """For each concept its distinct values over the images, in order."""
    distinct: dict[tuple[Code, Code], Category] = {}
    for image in findings.images:
        for category in image.categories:
            distinct.setdefault((category.concept, category.value), category)
    return tuple(distinct.values())


def status(findings: StudyFindings) -> Code:
    """The value of CAD Processing and Findings Summary (CID 6047)."""
    positive = bool(findings.positives) and not findings.reason
    if not findings.images:
        return codes.NONE_SUCCEEDED
    if findings.reason or findings.excluded:
        if positive:
            return codes.NOT_ALL_SUCCEEDED_WITH
        return codes.NOT_ALL_SUCCEEDED_WITHOUT
    return codes.ALL_SUCCEEDED_WITH if positive else codes.ALL_SUCCEEDED_WITHOUT


def name_of(finding: Finding) -> str:
    """What people read: the meaning of the code, or the label."""
    return finding.code.meaning or finding.label


def presence_word(presence: Presence) -> str:
    """Present, absent or undetermined, in lower case."""
    return _WORDS[presence]


def percent(probability: float) -> str:
    """A probability (0 to 1) for people; certainty is never claimed."""
    value = 100.0 * probability
    if value >= _CEILING:
        return "> 99.9 %"
    if value < _FLOOR:
        return "< 0.1 %"
    return f"{value:.1f} %"


def probability_words(finding: Finding) -> str:
    """``probability 91.0 %``, or that it is none; empty without a number."""
    if finding.probability is None:
        return ""
    if finding.calibrated:
        return f"probability {percent(finding.probability)}"
    return f"uncalibrated score {percent(finding.probability)}"


def line(finding: Finding) -> str:
    """One short line on one label, for the text report."""
    details = [one for one in (probability_words(finding), _against(finding)) if one]
    words = f"{name_of(finding)}: {presence_word(finding.presence)}"
    return f"{words} ({', '.join(details)})" if details else words


def category_line(category: Category) -> str:
    """One short line on one choice."""
    return f"{category.concept.meaning}: {category.value.meaning}"


def conclusion(findings: StudyFindings, bundle: BundleFacts) -> str:
    """The conclusion of an analysed study, a sentence to a line."""
    sentences = [
        *_suggestions(findings, bundle),
        *_undetermined(findings),
        *(f"{category_line(one)}." for one in study_categories(findings)),
        *exclusions(findings),
        BELOW_IS_NOT_ABSENT,
        *DISCLAIMER,
    ]
    return "\n".join(sentences)


def not_analysed_conclusion(findings: StudyFindings, bundle: BundleFacts) -> str:
    """The conclusion of a study that was not analysed, and why."""
    sentences = [
        f"Not analysed: {sentence(findings.reason)}",
        f"AI ({algorithm(bundle)}) has given no opinion on this study; "
        "this is not a negative result.",
        *exclusions(findings),
        *DISCLAIMER,
    ]
    return "\n".join(sentences)


def exclusions(findings: StudyFindings) -> Iterable[str]:
    """One sentence for each reason why images were left out."""
    reasons: dict[str, int] = {}
    for one in findings.excluded:
        reasons[one.reason] = reasons.get(one.reason, 0) + 1
    total = len(findings.images) + len(findings.excluded)
    for reason, count in reasons.items():
        yield f"{count} of {total} images not analysed: {sentence(reason)}"


def algorithm(bundle: BundleFacts) -> str:
    """Name and version, as people cite it."""
    return f"{bundle.name} {bundle.version}".strip()


def parameters(findings: StudyFindings, bundle: BundleFacts) -> tuple[str, ...]:
    """Algorithm Parameters (111002,DCM): all it takes to read the numbers."""
    stated = study_level(findings)
    return (
        f"bundle_digest={bundle.digest}",
        f"calibrated={_calibrated(stated)}",
        *(_threshold(one) for one in stated if one.operating_point is not None),
        *(f"{key}={value}" for key, value in sorted(bundle.parameters.items())),
    )


def sentence(text: str) -> str:
    """``text`` on one line with a full stop."""
    words = " ".join(text.split())
    return words if words.endswith((".", "!", "?")) else f"{words}."


def _rank(finding: Finding) -> tuple[int, float]:
    return _ORDER.index(finding.presence), -(finding.probability or 0.0)


def _against(finding: Finding) -> str:
    point = finding.operating_point
    if point is None:
        return ""
    place = {
        Presence.PRESENT: "at or above operating point",
        Presence.ABSENT: "below operating point",
        Presence.UNDETERMINED: "in the grey zone of operating point",
    }[finding.presence]
    return f"{place} {percent(point.threshold)}"


def _suggestions(findings: StudyFindings, bundle: BundleFacts) -> list[str]:
    positives = [
        one for one in study_level(findings) if one.presence is Presence.PRESENT
    ]
    if not positives:
        return [f"AI ({algorithm(bundle)}): {NO_FINDING[0].lower()}{NO_FINDING[1:]}"]
    return [f"AI ({algorithm(bundle)}) suggests:", *map(_suggestion, positives)]


def _suggestion(finding: Finding) -> str:
    words = " ".join((finding.text or name_of(finding)).split()).rstrip(".")
    number = probability_words(finding)
    return f"- {words} ({number})." if number else f"- {words}."


def _undetermined(findings: StudyFindings) -> list[str]:
    names = [
        name_of(one)
        for one in study_level(findings)
        if one.presence is Presence.UNDETERMINED
    ]
    return [f"Undetermined: {', '.join(names)}."] if names else []


def _calibrated(stated: Iterable[Finding]) -> str:
    numbers = [one.calibrated for one in stated if one.probability is not None]
    return "yes" if numbers and all(numbers) else "no"


def _threshold(finding: Finding) -> str:
    point = finding.operating_point
    if point is None:
        return ""
    return (
        f"operating_point[{finding.label}]={point.threshold:.4g} "
        f"grey_zone={point.grey_low:.4g}..{point.grey_high:.4g} "
        f"calibrated={'yes' if finding.calibrated else 'no'}"
    )
