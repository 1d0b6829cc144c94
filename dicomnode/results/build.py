"""From findings to finished DICOM objects: pure, and the same every time."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from pydicom.dataset import Dataset

from dicomnode.domain.findings import StudyFindings
from dicomnode.errors import ResultError
from dicomnode.results import codes
from dicomnode.results.charset import settle, text_of
from dicomnode.results.conformance import check
from dicomnode.results.context import BuiltResult, ReportContext
from dicomnode.results.document import BASIC_TEXT, SOP_CLASSES
from dicomnode.results.encoding import (
    add_file_meta,
    as_read,
    encode,
    encode_data_set,
)
from dicomnode.results.header import check_sources, stamp
from dicomnode.results.not_analysed import structured_refusal, text_refusal
from dicomnode.results.references import Reference
from dicomnode.results.sc import secondary_captures
from dicomnode.results.sr import structured_report
from dicomnode.results.text_sr import text_report
from dicomnode.results.times import moment
from dicomnode.results.uids import sop_instance_uid

KINDS = ("sr", "sc")
"""What a pipeline may ask for; ``sr`` brings its ``sr-text`` companion."""


def build(
    context: ReportContext, findings: StudyFindings, kinds: Collection[str]
) -> tuple[BuiltResult, ...]:
    """The results of one job: SR, text SR and Secondary Captures, in this order.

    A study that was not analysed (``findings.reason``) gives SR and text SR whatever
    ``kinds`` says: silence would look like a negative. Raises ResultError when the
    sources disagree or an object would not be conformant.
    """
    _check_request(context, findings, kinds)
    try:
        if findings.reason:
            return _refusals(context, findings)
        return _reports(context, findings, kinds)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        # highdicom and pydicom say so when a code or a header is beyond use.
        cause = next(iter(str(error).splitlines()), type(error).__name__)
        message = (
            f"a result could not be built ({cause}); check "
            "the codes of the bundle and the header of the study, then retry the job"
        )
        raise ResultError(message) from error


def _reports(
    context: ReportContext, findings: StudyFindings, kinds: Collection[str]
) -> tuple[BuiltResult, ...]:
    captures: list[BuiltResult] = []
    if "sc" in kinds:
        captures = [
            seal(context, "sc", one) for one in secondary_captures(context, findings)
        ]
    reports: list[BuiltResult] = []
    if "sr" in kinds:
        if context.profile != BASIC_TEXT:
            report = structured_report(context, findings, _references(captures))
            reports.append(seal(context, "sr", report))
        reports.append(seal(context, "sr-text", text_report(context, findings)))
    return (*reports, *captures)


def _refusals(
    context: ReportContext, findings: StudyFindings
) -> tuple[BuiltResult, ...]:
    text = seal(context, "sr-text", text_refusal(context, findings))
    if context.profile == BASIC_TEXT:
        return (text,)
    return (seal(context, "sr", structured_refusal(context, findings)), text)


def seal(context: ReportContext, kind: str, dataset: Dataset) -> BuiltResult:
    """Finish an object: its UID from its content, then its dates, then a check.

    Equal input gives equal bytes, and any difference but in the dates another UID.
    """
    settle(dataset)
    dataset.SOPInstanceUID = sop_instance_uid(encode_data_set(dataset))
    stamp(dataset, moment(context.analysed_at, context.sources[0]))
    add_file_meta(dataset)
    part10 = encode(dataset)
    check(as_read(part10), kind)
    return BuiltResult(
        kind=kind,
        dataset=as_read(part10),
        sop_class_uid=text_of(dataset, "SOPClassUID"),
        sop_instance_uid=text_of(dataset, "SOPInstanceUID"),
        series_instance_uid=text_of(dataset, "SeriesInstanceUID"),
    )


def _references(results: Iterable[BuiltResult]) -> list[Reference]:
    return [
        Reference(one.sop_class_uid, one.sop_instance_uid, one.series_instance_uid)
        for one in results
    ]


def _check_request(
    context: ReportContext, findings: StudyFindings, kinds: Collection[str]
) -> None:
    unknown = [one for one in kinds if one not in KINDS]
    if unknown:
        message = f"no result of kind {unknown[0]!r}; set pipeline.results to sr, sc"
        raise ResultError(message)
    if context.profile not in SOP_CLASSES:
        message = (
            f"no SR profile {context.profile!r}; set destination.profile to one of "
            f"{', '.join(SOP_CLASSES)}"
        )
        raise ResultError(message)
    if context.language not in codes.LANGUAGES:
        message = (
            f"the reports have no texts in language {context.language!r}; set one of "
            f"{', '.join(codes.LANGUAGES)}"
        )
        raise ResultError(message)
    check_sources(context.sources)
    _check_images(context, findings)


def _check_images(context: ReportContext, findings: StudyFindings) -> None:
    if not findings.images and not findings.reason:
        message = (
            "findings without images need a reason; say why the study was not analysed"
        )
        raise ResultError(message)
    known = {text_of(source, "SOPInstanceUID") for source in context.sources}
    stated = {
        uid
        for image in findings.images
        for uid in (
            image.sop_instance_uid,
            *(one.sop_instance_uid for one in image.findings),
        )
    }
    if not findings.reason and stated - known:
        message = (
            f"findings speak of instance {min(stated - known)}, which is not among the "
            "sources; pass the header of every analysed image"
        )
        raise ResultError(message)
