"""The content tree of the report: TID 1500 Measurement Report (PS3.16)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

from dicomnode.domain.findings import BundleFacts, Finding, StudyFindings
from dicomnode.results import codes, statements
from dicomnode.results.charset import charset_of, copy_item, text_of
from dicomnode.results.content import Content
from dicomnode.results.context import ReportContext
from dicomnode.results.image_library import image_library
from dicomnode.results.items import (
    HAS_CONCEPT_MOD,
    HAS_OBS_CONTEXT,
    clip,
    code_item,
    container,
    copied_code_item,
    image_item,
    number_item,
    region_item,
    text_item,
    uid_item,
)
from dicomnode.results.references import Reference, reference_to
from dicomnode.results.uids import tracking_uid

_CODE_PARTS = ("CodeValue", "CodingSchemeDesignator", "CodeMeaning")


def measurement_report(context: ReportContext, findings: StudyFindings) -> Content:
    """TID 1500 for an analysed study."""
    children = opening(context)
    children += image_library(context.sources)
    if findings.positives:
        children.append(_measurements(context, findings))
    children.append(_evaluations(context, findings))
    return container(codes.IMAGING_MEASUREMENT_REPORT, children, None, "1500")


def not_analysed_report(context: ReportContext, findings: StudyFindings) -> Content:
    """TID 1500 for a study that was not analysed: no Measurement Groups."""
    said = statements.not_analysed_conclusion(
        findings, context.bundle, context.words, replaces=context.replaces
    )
    evaluations: list[Content] = [
        text_item(codes.CONCLUSION, said),
        code_item(codes.PROCESSING_SUMMARY, statements.status(findings)),
        _comment(findings, context.bundle),
    ]
    children = opening(context)
    children += image_library(context.sources)
    children.append(container(codes.QUALITATIVE_EVALUATIONS, evaluations))
    return container(codes.IMAGING_MEASUREMENT_REPORT, children, None, "1500")


def opening(context: ReportContext) -> list[Content]:
    """Language, observer and procedure: TID 1204, TID 1001, (121058,DCM)."""
    return [
        language(context),
        *observer(context.bundle, context.node.manufacturer),
        _procedure(context),
    ]


def language(context: ReportContext) -> Content:
    """TID 1204; the caller has checked that the language is known."""
    return code_item(codes.LANGUAGE, codes.LANGUAGES[context.language], HAS_CONCEPT_MOD)


def observer(bundle: BundleFacts, manufacturer: str) -> list[Content]:
    """TID 1004 device observer: the bundle, never a person."""
    items = [
        code_item(codes.OBSERVER_TYPE, codes.DEVICE, HAS_OBS_CONTEXT),
        uid_item(codes.DEVICE_OBSERVER_UID, bundle.device_uid),
    ]
    items += [
        text_item(name, value, HAS_OBS_CONTEXT)
        for name, value in (
            (codes.DEVICE_OBSERVER_NAME, bundle.name),
            (codes.DEVICE_OBSERVER_MANUFACTURER, bundle.manufacturer or manufacturer),
            (codes.DEVICE_OBSERVER_MODEL_NAME, statements.algorithm(bundle)),
        )
    ]
    return items


def _procedure(context: ReportContext) -> Content:
    # IHE AI Results: the imaging procedure that was analysed, not the algorithm.
    source = context.sources[0]
    for item in source.get("ProcedureCodeSequence") or ():
        if all(text_of(item, keyword) for keyword in _CODE_PARTS):
            copied = copy_item(item, charset_of(source))
            return copied_code_item(codes.PROCEDURE_REPORTED, copied)
    return code_item(codes.PROCEDURE_REPORTED, codes.IMAGING_PROCEDURE, HAS_CONCEPT_MOD)


def _measurements(context: ReportContext, findings: StudyFindings) -> Content:
    references = {
        text_of(one, "SOPInstanceUID"): reference_to(one) for one in context.sources
    }
    children = _algorithm(context.bundle)
    children += [
        text_item(codes.ALGORITHM_PARAMETERS, one, HAS_CONCEPT_MOD)
        for one in statements.parameters(findings, context.bundle)
    ]
    children.append(
        code_item(
            codes.ALGORITHM_FAMILY, codes.ARTIFICIAL_INTELLIGENCE, HAS_CONCEPT_MOD
        )
    )
    children += [
        group
        for finding in findings.positives
        for group in _groups(finding, context.bundle, references)
    ]
    return container(codes.IMAGING_MEASUREMENTS, children)


def _algorithm(bundle: BundleFacts) -> list[Content]:
    return [
        text_item(codes.ALGORITHM_NAME, bundle.name, HAS_CONCEPT_MOD),
        text_item(codes.ALGORITHM_VERSION, bundle.version, HAS_CONCEPT_MOD),
    ]


def _groups(
    finding: Finding, bundle: BundleFacts, references: Mapping[str, Reference]
) -> Iterator[Content]:
    """TID 1410 for each region of the finding, TID 1501 if it has none."""
    reference = references[finding.sop_instance_uid]
    if not finding.regions:
        sources: list[Content] = [
            image_item(codes.SOURCE_OF_MEASUREMENT, one)
            for one in driving(finding, references)
        ]
        yield _group(finding, bundle, finding.label, [], sources)
    for number, region in enumerate(finding.regions, 1):
        name = f"{clip(finding.label, 58)} {number}"
        outline = region_item(codes.IMAGE_REGION, region, reference)
        yield _group(finding, bundle, name, [outline], [])


def driving(finding: Finding, references: Mapping[str, Reference]) -> list[Reference]:
    """What a finding rests on: its image, or the slices that drove it, in order."""
    if not finding.slices:
        return [references[finding.sop_instance_uid]]
    frames: dict[str, list[int]] = {}
    for one in finding.slices:
        numbers = frames.setdefault(one.sop_instance_uid, [])
        if one.frame_number is not None:
            numbers.append(one.frame_number)
    return [
        replace(references[uid], frame_numbers=tuple(sorted(numbers)))
        for uid, numbers in frames.items()
    ]


def _group(
    finding: Finding,
    bundle: BundleFacts,
    tracked: str,
    before_numbers: list[Content],
    after_numbers: list[Content],
) -> Content:
    uid = tracking_uid(_place(finding), bundle.digest, tracked)
    children: list[Content] = [
        text_item(codes.TRACKING_IDENTIFIER, clip(tracked, 64), HAS_OBS_CONTEXT),
        uid_item(codes.TRACKING_UNIQUE_IDENTIFIER, uid),
        code_item(codes.FINDING, finding.code),
    ]
    if finding.site is not None:
        children.append(code_item(codes.FINDING_SITE, finding.site, HAS_CONCEPT_MOD))
    children += [*_algorithm(bundle), *before_numbers]
    children += [*_certainty(finding), *after_numbers]
    return container(codes.MEASUREMENT_GROUP, children)


def _place(finding: Finding) -> str:
    frame = finding.frame_number
    uid = finding.sop_instance_uid
    return uid if frame is None else f"{uid}#{frame}"


def _certainty(finding: Finding) -> list[Content]:
    if finding.probability is None:
        return []
    value = statements.in_percent(finding.probability)
    names = [codes.CERTAINTY_OF_FINDING]
    if finding.calibrated:
        # An uncalibrated output is not a probability and must not be called one.
        names.append(codes.PROBABILITY)
    return [number_item(name, value, codes.PERCENT) for name in names]


def _evaluations(context: ReportContext, findings: StudyFindings) -> Content:
    said = statements.conclusion(
        findings, context.bundle, context.words, replaces=context.replaces
    )
    children: list[Content] = [
        text_item(codes.CONCLUSION, said),
        code_item(codes.PROCESSING_SUMMARY, statements.status(findings)),
    ]
    # Never (121071,DCM,"Finding") for a negative: viewers drop the qualifier.
    children += [
        code_item(finding.code, codes.PRESENCE[finding.presence])
        for finding in statements.study_level(findings)
    ]
    children += [
        code_item(category.concept, category.value)
        for category in statements.study_categories(findings)
    ]
    if not findings.positives:
        # Without Imaging Measurements the operating points would go unsaid.
        children.append(_comment(findings, context.bundle))
    return container(codes.QUALITATIVE_EVALUATIONS, children)


def _comment(findings: StudyFindings, bundle: BundleFacts) -> Content:
    used = "; ".join(statements.parameters(findings, bundle))
    return text_item(codes.COMMENT, f"Algorithm {statements.algorithm(bundle)}: {used}")
