"""Secondary Capture: the one form of a heat map that every viewer shows (PS3.3 A.8)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pydicom.dataset import Dataset
from pydicom.uid import (
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLSNearLossless,
    SecondaryCaptureImageStorage,
)

from dicomnode.domain.findings import StudyFindings
from dicomnode.results import codes
from dicomnode.results.charset import copy_elements, state, text_of
from dicomnode.results.context import ReportContext, Unsealed
from dicomnode.results.header import (
    RESEARCH_USE_ONLY,
    add_body_part,
    add_contribution,
    add_equipment,
    add_series,
    identity,
)
from dicomnode.results.items import clip, code_sequence
from dicomnode.results.page import Page, pages
from dicomnode.results.references import reference_to, sop_item
from dicomnode.results.wording import ENGLISH

_PAGES_OF_A_REVISION = 100
_LOSSY = frozenset({JPEGBaseline8Bit, JPEGExtended12Bit, JPEGLSNearLossless})


def secondary_captures(
    context: ReportContext, findings: StudyFindings
) -> Iterator[Unsealed]:
    """One data set for each page, not yet sealed; drawn when it is asked for."""
    first = (context.instance_number - 1) * _PAGES_OF_A_REVISION + 1
    for number, page in enumerate(pages(findings, context.bundle), first):
        yield _secondary_capture(context, page, number)


def _secondary_capture(context: ReportContext, page: Page, number: int) -> Unsealed:
    by_uid = {text_of(one, "SOPInstanceUID"): one for one in context.sources}
    sources = [by_uid[uid] for uid in page.frames]
    dataset = identity(context.sources)
    add_series(dataset, context, "sc")
    add_equipment(dataset, context.node)
    add_contribution(dataset, context)
    add_body_part(dataset, context.sources)
    _add_general_image(dataset, page, sources)
    _add_lossy_history(dataset, sources)
    state(
        dataset,
        SOPClassUID=SecondaryCaptureImageStorage,
        InstanceNumber=str(number),
        ConversionType="WSD",
    )
    _add_pixel_format(dataset, page)
    return Unsealed(dataset, pixels=page.pixels.data.cast("B"))


def _add_general_image(
    dataset: Dataset, page: Page, sources: Sequence[Dataset]
) -> None:
    state(
        dataset,
        ImageType="DERIVED\\SECONDARY\\OTHER",
        PatientOrientation="",
        ImageComments=f"{' '.join(ENGLISH.disclaimer)} {clip(page.caption, 1024)}",
        DerivationDescription=f"{RESEARCH_USE_ONLY}. Page drawn by an AI node from the "
        "source images",
    )
    dataset.SourceImageSequence = [
        _source_item(one, page.frames[text_of(one, "SOPInstanceUID")])
        for one in sources
    ]
    # We draw no identity; a source that has it in its pixels still shows it.
    burned = any(text_of(one, "BurnedInAnnotation") == "YES" for one in sources)
    state(dataset, BurnedInAnnotation="YES" if burned else "NO")


def _source_item(source: Dataset, frames: Sequence[int]) -> Dataset:
    item = sop_item(reference_to(source, frames))
    item.PurposeOfReferenceCodeSequence = code_sequence(codes.SOURCE_IMAGE)
    return item


def _add_lossy_history(dataset: Dataset, sources: Sequence[Dataset]) -> None:
    # Once lossy, always lossy (PS3.3 C.7.6.1.1.5).
    for source in sources:
        if text_of(source, "LossyImageCompression") == "01" or _is_lossy(source):
            dataset.LossyImageCompression = "01"
            copy_elements(
                source,
                dataset,
                ("LossyImageCompressionRatio", "LossyImageCompressionMethod"),
            )
            return


def _is_lossy(source: Dataset) -> bool:
    meta = getattr(source, "file_meta", None) or Dataset()
    return meta.get("TransferSyntaxUID") in _LOSSY


def _add_pixel_format(dataset: Dataset, page: Page) -> None:
    rows, columns, samples = page.pixels.shape
    dataset.SamplesPerPixel = samples
    state(dataset, PhotometricInterpretation="RGB")
    dataset.PlanarConfiguration = 0
    dataset.Rows, dataset.Columns = rows, columns
    dataset.BitsAllocated = dataset.BitsStored = 8
    dataset.HighBit = 7
    dataset.PixelRepresentation = 0
