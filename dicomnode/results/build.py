"""From findings to finished DICOM objects: pure, and the same every time."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import replace
from typing import TypeAlias

from dicomnode.domain.findings import StudyFindings
from dicomnode.errors import ResultError
from dicomnode.results import codes
from dicomnode.results.charset import text_of
from dicomnode.results.context import BuiltResult, ReportContext, Unsealed
from dicomnode.results.document import BASIC_TEXT, SOP_CLASSES
from dicomnode.results.gsps import presentation_states
from dicomnode.results.header import check_sources
from dicomnode.results.not_analysed import structured_refusal, text_refusal
from dicomnode.results.references import Reference
from dicomnode.results.sc import secondary_captures
from dicomnode.results.sealing import Unwritable, seal
from dicomnode.results.shaping import in_scheme
from dicomnode.results.sr import structured_report
from dicomnode.results.text_sr import text_report
from dicomnode.results.vocabulary import CODE_SCHEMES

_Built: TypeAlias = tuple[BuiltResult, ...]

KINDS = ("sr", "sc", "gsps")
"""What a pipeline may ask for; ``sr`` brings its ``sr-text`` companion."""


def build(
    context: ReportContext, findings: StudyFindings, kinds: Collection[str]
) -> tuple[BuiltResult, ...]:
    """The results of one job: SR, text SR, Secondary Captures, presentation states.

    A study that was not analysed (``findings.reason``) gives SR and text SR whatever
    ``kinds`` says: silence would look like a negative. Where the study's bytes are of
    no known character set, so that no other may be declared, reports are in English.
    Raises ResultError when the sources disagree or an object would not be conformant.
    """
    drawn = build_pictures(context, findings, kinds)
    return (*build_reports(context, findings, kinds, drawn), *drawn)


def build_pictures(
    context: ReportContext, findings: StudyFindings, kinds: Collection[str]
) -> tuple[BuiltResult, ...]:
    """Of `build`, Secondary Captures and presentation states: alike in every profile.

    Raises ResultError.
    """
    _check_request(context, findings, kinds)
    if findings.reason:
        return ()
    shown = in_scheme(findings, context.code_scheme)
    return _written(context, lambda one: _pictures(one, shown, kinds))


def build_reports(
    context: ReportContext,
    findings: StudyFindings,
    kinds: Collection[str],
    companions: Sequence[BuiltResult],
) -> tuple[BuiltResult, ...]:
    """Of `build`, SR and text SR.

    companions: those of `build_pictures`, which the SR refers to. Raises ResultError.
    """
    _check_request(context, findings, kinds)
    stated = in_scheme(findings, context.code_scheme)
    if findings.reason:
        return _written(context, lambda one: _refusals(one, stated))
    if "sr" not in kinds:
        return ()
    return _written(context, lambda one: _reports(one, stated, companions))


def _written(context: ReportContext, made: Callable[[ReportContext], _Built]) -> _Built:
    """What is made in the language of the context, or else in English."""
    try:
        try:
            return made(context)
        except Unwritable:
            return made(replace(context, language="en"))
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        # highdicom and pydicom say so when a code or a header is beyond use.
        cause = next(iter(str(error).splitlines()), type(error).__name__)
        message = (
            f"a result could not be built ({cause}); check "
            "the codes of the bundle and the header of the study, then retry the job"
        )
        raise ResultError(message) from error


def _pictures(
    context: ReportContext, findings: StudyFindings, kinds: Collection[str]
) -> _Built:
    made: list[tuple[str, Unsealed]] = []
    if "sc" in kinds:
        made += [("sc", one) for one in secondary_captures(context, findings)]
    if "gsps" in kinds:
        states = presentation_states(context, findings)
        made += [("gsps", Unsealed(one)) for one in states]
    return tuple(seal(context, kind, one) for kind, one in made)


def _reports(
    context: ReportContext,
    findings: StudyFindings,
    companions: Sequence[BuiltResult],
) -> _Built:
    text = seal(context, "sr-text", text_report(context, findings))
    if context.profile == BASIC_TEXT:
        return (text,)
    report = structured_report(context, findings, _references(companions))
    return (seal(context, "sr", report), text)


def _refusals(context: ReportContext, findings: StudyFindings) -> _Built:
    text = seal(context, "sr-text", text_refusal(context, findings))
    if context.profile == BASIC_TEXT:
        return (text,)
    return (seal(context, "sr", structured_refusal(context, findings)), text)


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
        message = (
            f"no result of kind {unknown[0]!r}; set pipeline.results to "
            f"{', '.join(KINDS)}"
        )
        raise ResultError(message)
    if context.profile not in SOP_CLASSES:
        message = (
            f"no SR profile {context.profile!r}; set destination.profile to one of "
            f"{', '.join(SOP_CLASSES)}"
        )
        raise ResultError(message)
    if context.code_scheme not in CODE_SCHEMES:
        message = (
            f"no code scheme {context.code_scheme!r}; set results.code_scheme to one "
            f"of {', '.join(CODE_SCHEMES)}"
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
