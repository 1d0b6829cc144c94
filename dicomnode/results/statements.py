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
from dicomnode.results.vocabulary import meaning
from dicomnode.results.wording import ENGLISH, Wording

_ORDER = (Presence.PRESENT, Presence.UNDETERMINED, Presence.ABSENT)
_CEILING, _FLOOR = 99.95, 0.05
_MOST, _LEAST = 99.9, 0.1


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
    if findings.reason or findings.n_missed:
        if positive:
            return codes.NOT_ALL_SUCCEEDED_WITH
        return codes.NOT_ALL_SUCCEEDED_WITHOUT
    return codes.ALL_SUCCEEDED_WITH if positive else codes.ALL_SUCCEEDED_WITHOUT


def name_of(finding: Finding, words: Wording) -> str:
    """What people read: the meaning of the code, or the label."""
    return meaning(finding.code, words.language) or finding.label


def in_percent(probability: float) -> float:
    """A probability (0 to 1) as a number of a report; neither 0 nor 100, as below."""
    return min(max(round(100.0 * float(probability), 1), _LEAST), _MOST)


def percent(probability: float) -> str:
    """A probability (0 to 1) for people; certainty is never claimed."""
    value = 100.0 * probability
    if value >= _CEILING:
        return "> 99.9 %"
    if value < _FLOOR:
        return "< 0.1 %"
    return f"{value:.1f} %"


def probability_words(finding: Finding, words: Wording) -> str:
    """``probability 91.0 %``, or that it is none; empty without a number."""
    if finding.probability is None:
        return ""
    form = words.probability if finding.calibrated else words.uncalibrated_score
    return form.format(percent=percent(finding.probability))


def line(finding: Finding, words: Wording) -> str:
    """One short line on one label, for the text report."""
    details = [
        one
        for one in (
            probability_words(finding, words),
            _against(finding, words),
            slices_of(finding, words),
        )
        if one
    ]
    presence = words.presence(finding.presence)
    said = f"{name_of(finding, words)}{words.colon}{presence}"
    return f"{said} ({', '.join(details)})" if details else said


def category_line(category: Category, words: Wording) -> str:
    """One short line on one choice."""
    concept = meaning(category.concept, words.language)
    return f"{concept}{words.colon}{meaning(category.value, words.language)}"


def conclusion(
    findings: StudyFindings, bundle: BundleFacts, words: Wording, *, replaces: bool
) -> str:
    """The conclusion of an analysed study, a sentence to a line."""
    sentences = [
        *_suggestions(findings, bundle, words),
        *_undetermined(findings, words),
        *(
            f"{category_line(one, words)}{words.stop}"
            for one in study_categories(findings)
        ),
        *series_read(findings, words),
        *exclusions(findings, words),
        words.below_is_not_absent,
        *_ending(words, replaces),
    ]
    return "\n".join(sentences)


def not_analysed_conclusion(
    findings: StudyFindings, bundle: BundleFacts, words: Wording, *, replaces: bool
) -> str:
    """The conclusion of a study that was not analysed, and why."""
    sentences = [
        words.not_analysed.format(reason=sentence(findings.reason)),
        words.no_opinion.format(algorithm=algorithm(bundle)),
        *exclusions(findings, words),
        *_ending(words, replaces),
    ]
    return "\n".join(sentences)


def _ending(words: Wording, replaces: bool) -> tuple[str, ...]:
    return (*((words.replaces,) if replaces else ()), *words.disclaimer)


def series_read(findings: StudyFindings, words: Wording) -> Iterable[str]:
    """One sentence for each series that was analysed, and what was noticed."""
    for one in findings.series:
        read = words.series_read.format(
            title=one.title, n_read=one.n_read, n_slices=one.n_slices
        )
        yield " ".join(
            [read, *(f"{said[:1].upper()}{said[1:]}." for said in one.remarks)]
        )


def slices_of(finding: Finding, words: Wording) -> str:
    """Which slices drove a finding, and where; empty for one of a single image."""
    if not finding.slices:
        return ""
    top = max(finding.slices, key=lambda one: one.probability)
    place = "" if top.position_mm is None else f" ({top.position_mm:.1f} mm)"
    numbers = words.comma.join(_runs([one.number for one in finding.slices]))
    return words.in_slices.format(numbers=numbers, top=f"{top.number}{place}")


def _runs(numbers: Iterable[int]) -> list[str]:
    """3, 4, 5, 9 -> 3-5 and 9."""
    runs: list[list[int]] = []
    for one in sorted(numbers):
        if runs and one == runs[-1][-1] + 1:
            runs[-1].append(one)
        else:
            runs.append([one])
    return [f"{run[0]}-{run[-1]}" if len(run) > 1 else str(run[0]) for run in runs]


def exclusions(findings: StudyFindings, words: Wording) -> Iterable[str]:
    """One sentence for each reason why images were left out."""
    reasons: dict[str, int] = {}
    for one in findings.excluded:
        reasons[one.reason] = reasons.get(one.reason, 0) + one.n_images
    total = findings.n_analysed + findings.n_excluded
    for reason, count in reasons.items():
        yield words.images_not_analysed.format(
            count=count, total=total, reason=sentence(reason)
        )


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
        *(
            f"series={one.series_instance_uid} slices={one.n_slices} read={one.n_read}"
            for one in findings.series
        ),
        *(f"{key}={value}" for key, value in sorted(bundle.parameters.items())),
    )


def sentence(text: str) -> str:
    """``text`` on one line with a full stop."""
    words = " ".join(text.split())
    return words if words.endswith((".", "!", "?", "。")) else f"{words}."


def _rank(finding: Finding) -> tuple[int, float]:
    return _ORDER.index(finding.presence), -(finding.probability or 0.0)


def _against(finding: Finding, words: Wording) -> str:
    point = finding.operating_point
    if point is None:
        return ""
    place = {
        Presence.PRESENT: words.at_or_above,
        Presence.ABSENT: words.below,
        Presence.UNDETERMINED: words.in_grey_zone,
    }[finding.presence]
    return place.format(percent=percent(point.threshold))


def _suggestions(
    findings: StudyFindings, bundle: BundleFacts, words: Wording
) -> list[str]:
    cited = algorithm(bundle)
    positives = [
        one for one in study_level(findings) if one.presence is Presence.PRESENT
    ]
    if not positives:
        return [words.by.format(algorithm=cited, sentence=words.no_finding)]
    suggestions = (_suggestion(one, words) for one in positives)
    return [words.suggests.format(algorithm=cited), *suggestions]


def _suggestion(finding: Finding, words: Wording) -> str:
    name = name_of(finding, words)
    # The bundle's own sentence, unless the site's language has a name for the finding.
    translated = name != name_of(finding, ENGLISH)
    said = name if translated else finding.text or name
    said = " ".join(said.split()).rstrip(".")
    details = [probability_words(finding, words), slices_of(finding, words)]
    detail = words.comma.join(one for one in details if one)
    return f"- {said} ({detail}){words.stop}" if detail else f"- {said}{words.stop}"


def _undetermined(findings: StudyFindings, words: Wording) -> list[str]:
    names = [
        name_of(one, words)
        for one in study_level(findings)
        if one.presence is Presence.UNDETERMINED
    ]
    if not names:
        return []
    return [words.undetermined_names.format(names=words.comma.join(names))]


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
