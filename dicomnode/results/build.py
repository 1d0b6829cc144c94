"""From findings to finished DICOM objects: pure, and the same every time."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
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
Finish: TypeAlias = Callable[[], BuiltResult]

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
    drawn = tuple(finish() for finish in draw_pictures(context, findings, kinds))
    return (*build_reports(context, findings, kinds, lambda: drawn), *drawn)


def draw_pictures(
    context: ReportContext, findings: StudyFindings, kinds: Collection[str]
) -> Iterator[Finish]:
    """Of `build`, Secondary Captures and presentation states: alike in every profile.

    Each is drawn when it is asked for. What it gives finishes that one: most of that is
    a digest of megabytes, which another thread may make meanwhile. Both raise
    ResultError.
    """
    _check_request(context, findings, kinds)
    if findings.reason:
        return
    shown = in_scheme(findings, context.code_scheme)
    with _errors_said():
        if "sc" in kinds:
            in_english = replace(context, language="en")  # as the pages are
            for page in secondary_captures(in_english, shown):
                yield partial(_finished_page, in_english, page)
        if "gsps" in kinds:
            for state in _worded(context, lambda one: _states(one, shown)):
                yield partial(_itself, state)


def build_reports(
    context: ReportContext,
    findings: StudyFindings,
    kinds: Collection[str],
    companions: Callable[[], Sequence[BuiltResult]],
) -> tuple[BuiltResult, ...]:
    """Of `build`, SR and text SR.

    companions: gives those of `draw_pictures`, finished, which the SR refers to; called
    when the text SR is there. Raises ResultError, and what it raises.
    """
    _check_request(context, findings, kinds)
    stated = in_scheme(findings, context.code_scheme)
    with _errors_said():
        if findings.reason:
            return _worded(context, lambda one: _refusals(one, stated))
        if "sr" not in kinds:
            return ()
        return _worded(context, lambda one: _reports(one, stated, companions))


def _worded(context: ReportContext, made: Callable[[ReportContext], _Built]) -> _Built:
    """What is made in the language of the context, or else in English."""
    try:
        return made(context)
    except Unwritable:
        return made(replace(context, language="en"))


@contextmanager
def _errors_said() -> Iterator[None]:
    """highdicom and pydicom say so when a code or a header is beyond use."""
    try:
        yield
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        cause = next(iter(str(error).splitlines()), type(error).__name__)
        message = (
            f"a result could not be built ({cause}); check "
            "the codes of the bundle and the header of the study, then retry the job"
        )
        raise ResultError(message) from error


def _finished_page(context: ReportContext, page: Unsealed) -> BuiltResult:
    with _errors_said():
        return seal(context, "sc", page)


def _itself(built: BuiltResult) -> BuiltResult:
    return built


def _states(context: ReportContext, findings: StudyFindings) -> _Built:
    made = presentation_states(context, findings)
    return tuple(seal(context, "gsps", Unsealed(one)) for one in made)


def _reports(
    context: ReportContext,
    findings: StudyFindings,
    companions: Callable[[], Sequence[BuiltResult]],
) -> _Built:
    text = seal(context, "sr-text", text_report(context, findings))
    if context.profile == BASIC_TEXT:
        return (text,)
    report = structured_report(context, findings, _references(companions()))
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
