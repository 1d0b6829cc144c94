"""What all our SR documents have around their content tree (PS3.3 A.35, C.17)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.uid import (
    BasicTextSRStorage,
    Comprehensive3DSRStorage,
    ComprehensiveSRStorage,
    EnhancedSRStorage,
)

from dicomnode.domain.result import predecessors_of
from dicomnode.results import codes
from dicomnode.results.charset import state, text_of
from dicomnode.results.content import CONTENT, Content, designators_in
from dicomnode.results.context import ReportContext, Unsealed
from dicomnode.results.header import (
    add_contribution,
    add_equipment,
    add_requests,
    add_series,
    identity,
)
from dicomnode.results.items import clip, code_sequence
from dicomnode.results.references import Reference, evidence, reference_to

BASIC_TEXT = "basic-text"
SOP_CLASSES = {
    "comprehensive": ComprehensiveSRStorage,
    "comprehensive-3d": Comprehensive3DSRStorage,
    "enhanced": EnhancedSRStorage,
    BASIC_TEXT: BasicTextSRStorage,
}
_PRIVATE = "99"


def document(
    context: ReportContext,
    kind: str,
    root: Content,
    companions: Iterable[Reference] = (),
) -> Unsealed:
    """An SR with the content tree ``root``.

    ``companions`` are results of the same job that belong to the evidence.
    """
    dataset = identity(context.sources)
    profile = BASIC_TEXT if kind == "sr-text" else context.profile
    add_series(dataset, context, kind)
    add_equipment(dataset, context.node)
    add_contribution(dataset, context)
    dataset.ReferencedPerformedProcedureStepSequence = []
    dataset.PerformedProcedureCodeSequence = []
    state(
        dataset,
        SOPClassUID=SOP_CLASSES[profile],
        InstanceNumber=str(context.instance_number),
        VerificationFlag="UNVERIFIED",
        PreliminaryFlag="PRELIMINARY",
    )
    dataset.CurrentRequestedProcedureEvidenceSequence = evidence(
        text_of(dataset, "StudyInstanceUID"),
        [*map(reference_to, context.sources), *companions],
    )
    _add_predecessors(dataset, context, kind)
    add_requests(dataset, context.sources)
    _add_content(dataset, root)
    _add_private_schemes(dataset, root, context.sources)
    return Unsealed(dataset, root if root.is_plain else None)


def set_completion(dataset: Dataset, missing: str) -> None:
    """COMPLETE, or PARTIAL with what is ``missing`` (PS3.3 C.17.2)."""
    state(dataset, CompletionFlag="PARTIAL" if missing else "COMPLETE")
    if missing:
        state(dataset, CompletionFlagDescription=clip(missing, 64))


def replaced_by(
    context: ReportContext, kind: str, sop_class_uid: str
) -> tuple[Reference, ...]:
    """The earlier documents in whose place a new one of ``kind`` comes."""
    return tuple(
        Reference(one.sop_class_uid, one.sop_instance_uid, one.series_instance_uid)
        for one in predecessors_of(context.earlier, kind, sop_class_uid)
    )


def _add_predecessors(dataset: Dataset, context: ReportContext, kind: str) -> None:
    # PS3.3 C.17.2: Type 1C, required when this document includes content of another.
    replaced = replaced_by(context, kind, text_of(dataset, "SOPClassUID"))
    if not replaced:
        return
    items = evidence(text_of(dataset, "StudyInstanceUID"), replaced)
    for series in items[0].ReferencedSeriesSequence:
        for instance in series.ReferencedSOPSequence:
            instance.PurposeOfReferenceCodeSequence = code_sequence(
                codes.REPLACED_REPORT
            )
    dataset.PredecessorDocumentsSequence = items


def _add_content(dataset: Dataset, root: Content) -> None:
    item = root.part.make() if root.is_plain else root.tree()
    for tag in tuple(item.keys()):
        dataset[tag] = item[tag]
    if root.is_plain:
        value = root.encoded_children()
        dataset[CONTENT] = RawDataElement(
            CONTENT, "SQ", len(value), value, 0, False, True
        )


def _add_private_schemes(
    dataset: Dataset, root: Content, sources: Sequence[Dataset]
) -> None:
    # PS3.3 C.12.1: a private designator means nothing without its identification.
    named = root.designators.union(designators_in(dataset))
    used = sorted(one for one in named if one.startswith(_PRIVATE))
    if used:
        known = _known_schemes(sources)
        dataset.CodingSchemeIdentificationSequence = [
            known.get(one) or _scheme(one) for one in used
        ]


def _known_schemes(sources: Sequence[Dataset]) -> dict[str, Dataset]:
    return {
        text_of(item, "CodingSchemeDesignator"): _scheme(
            text_of(item, "CodingSchemeDesignator"),
            text_of(item, "CodingSchemeUID"),
        )
        for source in sources
        for item in source.get("CodingSchemeIdentificationSequence") or ()
    }


def _scheme(designator: str, uid: str = "") -> Dataset:
    item = Dataset()
    item.CodingSchemeDesignator = designator
    if designator == codes.PRIVATE_SCHEME:
        item.CodingSchemeName = codes.PRIVATE_SCHEME_NAME
    elif uid:
        item.CodingSchemeUID = uid
    return item
