"""Grayscale Softcopy Presentation State: words and outlines over the original (A.33).

One for each image with a positive finding. It holds what it takes to show the source
as its own header says (modality LUT, VOI LUT, photometric interpretation), because a
viewer that applies a presentation state applies nothing else (PS3.4 N.2).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from pydicom.dataset import Dataset
from pydicom.uid import GrayscaleSoftcopyPresentationStateStorage

from dicomnode.domain.findings import Finding, Region, StudyFindings
from dicomnode.results import statements
from dicomnode.results.charset import copy_elements, text_of
from dicomnode.results.context import ReportContext
from dicomnode.results.header import (
    add_body_part,
    add_contribution,
    add_equipment,
    add_series,
    identity,
)
from dicomnode.results.items import clip
from dicomnode.results.references import Reference, reference_to, sop_item

_LAYER = "AI_RESEARCH_ONLY"
_MODALITY_LUT = ("RescaleIntercept", "RescaleSlope", "RescaleType")
_VOI_LUT = ("WindowCenter", "WindowWidth", "WindowCenterWidthExplanation")
# Shared and Per-frame Functional Groups Sequence
_GROUPS = (0x52009229, 0x52009230)
_LINES_FROM_TOP = 0.03
_ST = 1024
_ALWAYS = 3  # the algorithm, and two lines of disclaimer
_STATES_OF_A_REVISION = 100


def presentation_states(
    context: ReportContext, findings: StudyFindings
) -> list[Dataset]:
    """One data set for each image or frame with a positive finding, not yet sealed."""
    by_image: dict[str, dict[int | None, list[Finding]]] = {}
    for finding in findings.positives:
        frames = by_image.setdefault(finding.sop_instance_uid, {})
        frames.setdefault(finding.frame_number, []).append(finding)
    first = (context.instance_number - 1) * _STATES_OF_A_REVISION + 1
    return [
        _presentation_state(context, source, stated, number)
        for number, (source, stated) in enumerate(_drawable(context, by_image), first)
    ]


def _drawable(
    context: ReportContext, by_image: dict[str, dict[int | None, list[Finding]]]
) -> Iterator[tuple[Dataset, list[Finding]]]:
    for source in context.sources:
        frames = by_image.get(text_of(source, "SOPInstanceUID"), {})
        if source.get("Rows") and source.get("Columns"):
            yield from ((source, stated) for stated in frames.values())


def _presentation_state(
    context: ReportContext, source: Dataset, findings: Sequence[Finding], number: int
) -> Dataset:
    dataset = identity(context.sources)
    dataset.SOPClassUID = GrayscaleSoftcopyPresentationStateStorage
    add_series(dataset, context, "gsps")
    add_equipment(dataset, context.node)
    add_contribution(dataset, context)
    add_body_part(dataset, [source])
    dataset.InstanceNumber = number
    dataset.ContentLabel = _LAYER
    dataset.ContentDescription = clip(f"AI findings, {context.bundle.name}", 64)
    dataset.ContentCreatorName = ""
    frame = findings[0].frame_number
    reference = reference_to(source, () if frame is None else (frame,))
    dataset.ReferencedSeriesSequence = [_referenced_series(reference)]
    _add_luts(dataset, source if frame is None else _of_frame(source, frame))
    dataset.DisplayedAreaSelectionSequence = [_whole_image(source)]
    dataset.GraphicLayerSequence = [_layer()]
    dataset.GraphicAnnotationSequence = [_annotation(context, reference, findings)]
    return dataset


def _of_frame(source: Dataset, frame: int) -> Dataset:
    """The source's header with what its functional groups say of a frame (from 1).

    Of an enhanced object rescale and window are there (PS3.3 C.7.6.16), and a
    presentation state of one frame may take them over.
    """
    per_frame = list(source.get("PerFrameFunctionalGroupsSequence") or ())
    holders = [*(source.get("SharedFunctionalGroupsSequence") or ())][:1]
    holders += per_frame[frame - 1 : frame]
    shown = Dataset()
    for element in source:
        if element.tag not in _GROUPS:
            shown.add(element)
    for holder in holders:
        for name in ("PixelValueTransformationSequence", "FrameVOILUTSequence"):
            for item in list(holder.get(name) or ())[:1]:
                copy_elements(item, shown, (*_MODALITY_LUT, *_VOI_LUT))
    return shown


def _referenced_series(reference: Reference) -> Dataset:
    item = Dataset()
    item.SeriesInstanceUID = reference.series_instance_uid
    item.ReferencedImageSequence = [sop_item(reference)]
    return item


def _add_luts(dataset: Dataset, source: Dataset) -> None:
    if "ModalityLUTSequence" in source:
        copy_elements(source, dataset, ("ModalityLUTSequence",))
        _settle_numbers(dataset.ModalityLUTSequence, source)
    elif "RescaleSlope" in source and "RescaleIntercept" in source:
        copy_elements(source, dataset, _MODALITY_LUT)
        if "RescaleType" not in dataset:
            dataset.RescaleType = "US"  # Type 1 here, not in every source (C.11.1)
    voi = Dataset()
    if "VOILUTSequence" in source:
        copy_elements(source, voi, ("VOILUTSequence",))
        _settle_numbers(voi.VOILUTSequence, source)
    elif "WindowCenter" in source and "WindowWidth" in source:
        copy_elements(source, voi, _VOI_LUT)
    if voi:
        dataset.SoftcopyVOILUTSequence = [voi]
    dataset.PresentationLUTShape = _shape(source)


def _settle_numbers(tables: Iterable[Dataset], source: Dataset) -> None:
    # US or SS (PS3.3 C.11.1, C.11.2): only the image says which, and it stays behind.
    is_signed = source.get("PixelRepresentation") == 1
    for table in tables:
        for element in table:
            if element.VR == "US or SS":
                element.VR = "SS" if is_signed else "US"
            elif element.VR == "US or OW":
                element.VR = "OW" if isinstance(element.value, bytes) else "US"


def _shape(source: Dataset) -> str:
    stated = text_of(source, "PresentationLUTShape")
    if stated in ("IDENTITY", "INVERSE"):
        return stated
    inverted = text_of(source, "PhotometricInterpretation") == "MONOCHROME1"
    return "INVERSE" if inverted else "IDENTITY"


def _whole_image(source: Dataset) -> Dataset:
    item = Dataset()
    item.DisplayedAreaTopLeftHandCorner = [1, 1]
    item.DisplayedAreaBottomRightHandCorner = [int(source.Columns), int(source.Rows)]
    item.PresentationSizeMode = "SCALE TO FIT"
    item.PresentationPixelAspectRatio = [1, 1]
    return item


def _layer() -> Dataset:
    item = Dataset()
    item.GraphicLayer = _LAYER
    item.GraphicLayerOrder = 1
    item.GraphicLayerDescription = "AI findings. Research use only"
    return item


def _annotation(
    context: ReportContext, reference: Reference, findings: Sequence[Finding]
) -> Dataset:
    item = Dataset()
    item.GraphicLayer = _LAYER
    outlines = [region for finding in findings for region in finding.regions]
    item.TextObjectSequence = [_text(context, findings)]
    if outlines:
        item.GraphicObjectSequence = [_outline(region) for region in outlines]
    item.ReferencedImageSequence = [sop_item(reference)]
    return item


def _text(context: ReportContext, findings: Sequence[Finding]) -> Dataset:
    words = context.words
    lines = [statements.line(one, words) for one in findings]
    item = Dataset()
    item.BoundingBoxAnnotationUnits = "DISPLAY"
    item.UnformattedTextValue = _fitting(
        [f"AI {statements.algorithm(context.bundle)}", *lines, *words.disclaimer]
    )
    item.BoundingBoxTopLeftHandCorner = [0.02, _LINES_FROM_TOP]
    item.BoundingBoxBottomRightHandCorner = [0.6, 0.3]
    item.BoundingBoxTextHorizontalJustification = "LEFT"
    return item


def _fitting(lines: list[str]) -> str:
    """As many lines as fit in an ST; the algorithm and the disclaimer always."""
    kept = [one.replace("\\", "/") for one in lines]
    while sum(len(one) + 2 for one in kept) > _ST and len(kept) > _ALWAYS:
        del kept[-3]
    return "\r\n".join(kept)


def _outline(region: Region) -> Dataset:
    points = (*region.points, region.points[0])
    item = Dataset()
    item.GraphicAnnotationUnits = "PIXEL"
    item.GraphicDimensions = 2
    item.NumberOfGraphicPoints = len(points)
    item.GraphicData = [float(value) for point in points for value in point]
    item.GraphicType = "POLYLINE"
    item.GraphicFilled = "N"
    return item
