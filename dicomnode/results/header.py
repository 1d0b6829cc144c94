"""The head of every result: whose it is, copied; who made it, ours.

Patient and study come from the source byte for byte, missing Type 2 attributes empty,
nothing invented (PS3.3 C.7.1.1, C.7.2.1). Frame of reference and private elements are
not copied: they would claim more about a report than is true.
"""

from __future__ import annotations

from collections.abc import Sequence

from pydicom.dataset import Dataset

from dicomnode.domain.findings import BundleFacts
from dicomnode.domain.ownership import INSTANCE_CREATOR_UID
from dicomnode.errors import ResultError
from dicomnode.results import codes
from dicomnode.results.charset import charset_of, copy_elements, state, text_of
from dicomnode.results.context import NodeFacts, ReportContext
from dicomnode.results.items import clip, code_sequence
from dicomnode.results.references import reference_to, requests
from dicomnode.results.times import Moment, source_offset
from dicomnode.results.uids import series_instance_uid

COPIED_ALWAYS = (
    "PatientName",
    "PatientID",
    "PatientBirthDate",
    "PatientSex",
    "StudyDate",
    "StudyTime",
    "AccessionNumber",
    "ReferringPhysicianName",
    "StudyID",
)
"""Attributes of Type 2 that a result has from its source, empty if it has none."""
COPIED_IF_PRESENT = (
    "SpecificCharacterSet",
    "IssuerOfPatientID",
    "IssuerOfPatientIDQualifiersSequence",
    "TypeOfPatientID",
    "PatientBirthTime",
    "QualityControlSubject",
    "PatientSpeciesDescription",
    "PatientSpeciesCodeSequence",
    "PatientBreedDescription",
    "PatientBreedCodeSequence",
    "BreedRegistrationSequence",
    "ResponsiblePerson",
    "ResponsiblePersonRole",
    "ResponsibleOrganization",
    "PatientIdentityRemoved",
    "DeidentificationMethod",
    "DeidentificationMethodCodeSequence",
    "LongitudinalTemporalInformationModified",
    "StudyDescription",
    "ProcedureCodeSequence",
    "IssuerOfAccessionNumberSequence",
    "PatientAge",
    "PatientSize",
    "PatientWeight",
)
"""Attributes of Type 3 that a result has if its source has them, byte for byte."""
RESEARCH_USE_ONLY = "Research use only"
_NUMBERS = {"sr-text": 9800, "sr": 9801, "sc": 9802, "gsps": 9803}
_MODALITIES = {"sc": "OT", "gsps": "PR"}
_TITLES = {
    "sr-text": "AI Report",
    "sr": "AI Findings",
    "sc": "AI Heat maps",
    "gsps": "AI Marks",
}
_LO, _SH = 64, 16
_AGREEING = ("StudyInstanceUID", "PatientID")


def check_sources(sources: Sequence[Dataset]) -> None:
    """Raise ResultError unless all sources are of one patient and one study."""
    if not sources:
        message = (
            "a result needs at least one source instance; check that the study still "
            "has its files with `dicomnode reconcile`"
        )
        raise ResultError(message)
    for source in sources:
        reference_to(source)
    for keyword in _AGREEING:
        # No values in the message: they identify a patient.
        if len({text_of(source, keyword) for source in sources}) > 1:
            message = (
                f"the source instances do not agree on {keyword}, so a result could "
                "reach the wrong patient; correct the study at the PACS and send it "
                "again"
            )
            raise ResultError(message)


def identity(sources: Sequence[Dataset]) -> Dataset:
    """A new data set with patient and study of the sources."""
    source = sources[0]
    dataset = Dataset()
    copy_elements(
        source, dataset, ("StudyInstanceUID", *COPIED_ALWAYS, *COPIED_IF_PRESENT)
    )
    for keyword in COPIED_ALWAYS:
        if keyword not in dataset:
            state(dataset, **{keyword: ""})
    if source_offset(source):
        copy_elements(source, dataset, ("TimezoneOffsetFromUTC",))
    return dataset


def add_equipment(dataset: Dataset, node: NodeFacts) -> None:
    """Enhanced General Equipment (PS3.3 C.7.5.2) and the mark of our own objects."""
    state(
        dataset,
        Manufacturer=clip(node.manufacturer, _LO),
        ManufacturerModelName=clip(node.model_name, _LO),
        DeviceSerialNumber=clip(node.device_serial_number, _LO),
        SoftwareVersions=clip(node.software_version, _LO),
        InstanceCreatorUID=INSTANCE_CREATOR_UID,
    )
    if node.station_name:
        state(dataset, StationName=clip(node.station_name, _SH))


def add_contribution(dataset: Dataset, context: ReportContext) -> None:
    """The bundle as contributing equipment (PS3.3 C.12.1.1.9, IHE AI Results)."""
    bundle = context.bundle
    item = Dataset()
    item.PurposeOfReferenceCodeSequence = code_sequence(codes.PROCESSING_EQUIPMENT)
    job = f"Pipeline {context.pipeline}, job {context.job_id}"
    state(
        item,
        Manufacturer=clip(bundle.manufacturer or context.node.manufacturer, _LO),
        ManufacturerModelName=clip(bundle.name, _LO),
        DeviceSerialNumber=clip(bundle.digest, _LO),
        SoftwareVersions=clip(bundle.version, _LO),
        ContributionDescription=clip(job, 1024),
    )
    dataset.ContributingEquipmentSequence = [item]


def add_series(dataset: Dataset, context: ReportContext, kind: str) -> None:
    """One series for each kind of result and bundle; numbers that sort last."""
    series = series_instance_uid(
        text_of(dataset, "StudyInstanceUID"),
        context.bundle.digest,
        kind,
        f"{context.node.manufacturer}/{context.node.device_serial_number}",
    )
    state(
        dataset,
        Modality=_MODALITIES.get(kind, "SR"),
        SeriesInstanceUID=series,
        SeriesNumber=str(_NUMBERS[kind]),
        SeriesDescription=_series_description(context.bundle, kind),
    )


def add_body_part(dataset: Dataset, sources: Sequence[Dataset]) -> None:
    """The body part of an image; else Laterality (0020,0060), Type 2C, empty.

    Laterality must be there if the body part may be a paired one.
    """
    parts = {text_of(one, "BodyPartExamined") for one in sources}
    if len(parts) == 1 and parts != {""}:
        copy_elements(sources[0], dataset, ("BodyPartExamined",))
    else:
        state(dataset, Laterality="")


def _series_description(bundle: BundleFacts, kind: str) -> str:
    # Some PACS cut this to 16 characters, so it begins with what it is.
    room = _LO - len(f"{_TITLES[kind]}  - {RESEARCH_USE_ONLY}")
    return f"{_TITLES[kind]} {clip(bundle.name, room)} - {RESEARCH_USE_ONLY}"


def add_requests(dataset: Dataset, sources: Sequence[Dataset]) -> None:
    """ReferencedRequestSequence, Type 1C: only when the sources name an order."""
    items = requests(sources, text_of(dataset, "StudyInstanceUID"))
    own = charset_of(dataset)
    for item in items:
        if "SpecificCharacterSet" in item and charset_of(item) == own:
            del item.SpecificCharacterSet
    if items:
        dataset.ReferencedRequestSequence = items


def stamp(dataset: Dataset, moment: Moment) -> None:
    """Write when it was made; after sealing, since dates are not content."""
    date, time = moment.date, moment.time
    modality = text_of(dataset, "Modality")
    if modality == "PR":  # these have no content date (PS3.3 C.11.10)
        state(dataset, PresentationCreationDate=date, PresentationCreationTime=time)
    else:
        state(dataset, ContentDate=date, ContentTime=time)
    state(dataset, InstanceCreationDate=date, InstanceCreationTime=time)
    if modality == "OT":
        state(dataset, DateOfSecondaryCapture=date, TimeOfSecondaryCapture=time)
    for item in dataset.ContributingEquipmentSequence:
        state(item, ContributionDateTime=moment.date_time)
    if moment.offset and "TimezoneOffsetFromUTC" not in dataset:
        state(dataset, TimezoneOffsetFromUTC=moment.offset)
