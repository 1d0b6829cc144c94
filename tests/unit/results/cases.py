"""Studies, bundles and findings to build results from; all people are invented."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
from pydicom.dataset import Dataset
from pydicom.uid import DigitalXRayImageStorageForPresentation

from dicomnode.domain.findings import (
    BundleFacts,
    Category,
    Code,
    Finding,
    ImageFindings,
    NotAnalysed,
    OperatingPoint,
    Presence,
    Region,
    StudyFindings,
)
from dicomnode.domain.result import KeptResult
from dicomnode.domain.series import AnalysedSeries, KeySlice
from dicomnode.results import NodeFacts, ReportContext

STUDY = "1.2.826.0.1.3680043.10.511.3.1"
SERIES = "1.2.826.0.1.3680043.10.511.3.1.1"
IMAGES = tuple(f"{SERIES}.{number}" for number in (1, 2, 3))
ANALYSED_AT = datetime(2026, 7, 27, 22, 30, 15, tzinfo=UTC)
LUNG = Code("39607008", "SCT", "Lung")
PLEURA = Code("3120008", "SCT", "Pleura")
BUNDLE = BundleFacts(
    name="cxr-findings",
    version="1.2.0",
    digest="5d41402abc4b2a76b9719d911017c5925d41402abc4b2a76b9719d911017c592",
    device_uid="2.25.297012731337218190312843712981237",
    manufacturer="dicomnode",
    intended_use="Research on chest radiographs of adults",
    algorithm_family="CNN",
    parameters={"operating_point_origin": "home", "preprocessing": "1"},
)
NODE = NodeFacts(
    software_version="0.1.0", device_serial_number="DICOMNODE", station_name="NODE1"
)
_KEPT_CLASSES = {
    "sr": "1.2.840.10008.5.1.4.1.1.88.33",
    "sr-text": "1.2.840.10008.5.1.4.1.1.88.11",
    "sc": "1.2.840.10008.5.1.4.1.1.7",
}
LABELS = {  # label -> code, site
    "Pneumothorax": (Code("36118008", "SCT", "Pneumothorax"), PLEURA),
    "Pneumonia": (Code("233604007", "SCT", "Pneumonia"), LUNG),
    "Pleural Effusion": (Code("60046008", "SCT", "Pleural effusion"), PLEURA),
    "Consolidation": (Code("95436008", "SCT", "Lung consolidation"), LUNG),
    "Atelectasis": (Code("46621007", "SCT", "Atelectasis"), LUNG),
    "Edema": (Code("19242006", "SCT", "Pulmonary edema"), LUNG),
}


def source(number: int = 0, **attributes: object) -> Dataset:
    """A DX header with all that a good modality writes."""
    header = Dataset()
    header.SpecificCharacterSet = "ISO_IR 100"
    header.SOPClassUID = DigitalXRayImageStorageForPresentation
    header.SOPInstanceUID = IMAGES[number]
    header.StudyDate, header.StudyTime = "20260727", "153000"
    header.AccessionNumber = "ACC4711"
    header.Modality = "DX"
    header.ReferringPhysicianName = "Bär^Jörg"
    header.StudyDescription = "Thorax p.a."
    header.PatientName, header.PatientID = "Müller^Änne", "P-001"
    header.IssuerOfPatientID = "HOSPITAL"
    header.PatientBirthDate, header.PatientSex = "19561224", "F"
    header.PatientAge = "069Y"
    header.BodyPartExamined, header.ViewPosition = "CHEST", "PA"
    header.StudyInstanceUID, header.SeriesInstanceUID = STUDY, SERIES
    header.StudyID = "S1"
    header.PatientOrientation = ["L", "F"]
    header.ImagerPixelSpacing = [0.143, 0.144]
    header.Rows, header.Columns = 2048, 1536
    for keyword, value in attributes.items():
        setattr(header, keyword, value)
    return header


def context(*sources: Dataset, **changes: object) -> ReportContext:
    """A report context over ``sources`` (default: one good DX header)."""
    made = ReportContext(
        sources=sources or (source(),),
        bundle=BUNDLE,
        pipeline="cxr",
        job_id="0d9f8c7b6a5e4d3c2b1a",
        analysed_at=ANALYSED_AT,
        node=NODE,
    )
    return replace(made, **changes)


def blob(row: float, column: float, size: int = 16) -> np.ndarray:
    """An activation map with one bright spot, places from 0 to 1."""
    rows, columns = np.mgrid[0:size, 0:size] / (size - 1)
    distance = (rows - row) ** 2 + (columns - column) ** 2
    return np.exp(-distance / 0.02).astype(np.float32)


def display(rows: int = 256, columns: int = 208) -> np.ndarray:
    """A grey picture, uint8."""
    ramp = np.linspace(20, 220, rows * columns).reshape(rows, columns)
    return ramp.astype(np.uint8)


def finding(label: str, probability: float | None, **changes: object) -> Finding:
    """A statement on the first image; present from 0.5 up, grey from 0.4."""
    code, site = LABELS[label]
    point = OperatingPoint(0.5, 0.4, 0.5)
    presence = Presence.PRESENT if probability is None else point.presence(probability)
    made = Finding(
        label=label,
        code=code,
        presence=presence,
        text=f"The network sees signs of {label.lower()}.",
        sop_instance_uid=IMAGES[0],
        site=site,
        probability=probability,
        calibrated=True,
        operating_point=None if probability is None else point,
        activation_map=blob(0.6, 0.3),
    )
    return replace(made, **changes)


def image(*findings: Finding, **changes: object) -> ImageFindings:
    """All of one image."""
    made = ImageFindings(
        sop_instance_uid=findings[0].sop_instance_uid if findings else IMAGES[0],
        findings=findings,
        display=display(),
    )
    return replace(made, **changes)


def positive() -> StudyFindings:
    """Two present, one in the grey zone, three absent."""
    probabilities = (0.082, 0.914, 0.673, 0.452, 0.21, 0.031)
    return StudyFindings(
        images=(image(*map(finding, LABELS, probabilities)),),
    )


def outlined() -> StudyFindings:
    """Two present findings, one with two regions, one without."""
    square = Region(((10.0, 20.5), (90.0, 20.5), (90.0, 80.0), (10.0, 80.0)))
    triangle = Region(((120.0, 100.0), (180.0, 100.0), (150.0, 160.0)))
    return StudyFindings(
        images=(
            image(
                finding("Pneumonia", 0.91, regions=(square, triangle)),
                finding("Edema", 0.7),
                finding("Pneumothorax", 0.02),
            ),
        ),
    )


def kept(number: int = 1, kind: str = "sr", revision: int = 1) -> KeptResult:
    """A result of an earlier analysis that a destination has."""
    return KeptResult(
        kind=kind,
        sop_class_uid=_KEPT_CLASSES[kind],
        sop_instance_uid=f"2.25.{number}{revision}",
        series_instance_uid="2.25.8",
        location=f"aa/2.25.9/2.25.{number}{revision}.abcdef012345.dcm",
        revision=revision,
    )


def every_label() -> StudyFindings:
    """Every label present."""
    return StudyFindings(images=(image(*(finding(one, 0.9) for one in LABELS)),))


def negative() -> StudyFindings:
    """Every label below its operating point."""
    probabilities = (0.082, 0.314, 0.073, 0.052, 0.21, 0.031)
    return StudyFindings(images=(image(*map(finding, LABELS, probabilities)),))


def quality() -> StudyFindings:
    """A QC bundle over two images, a third excluded: own codes, categories."""
    uid = IMAGES[1]
    rotated = replace(
        finding("Pneumonia", 0.97),
        label="rotated",
        code=Code("ROTATED", "99DCMNODE", "Image rotated"),
        site=None,
        text="The image is turned by 90 degrees",
        calibrated=False,
    )
    mismatch = replace(
        rotated,
        label="view-differs-from-header",
        code=Code("VIEW-DIFFERS-FROM-HEADER", "99DCMNODE", "View differs from header"),
        sop_instance_uid=uid,
        probability=None,
        operating_point=None,
        text="The view is AP, the header says PA",
    )
    upright = replace(
        rotated, sop_instance_uid=uid, presence=Presence.ABSENT, probability=0.01
    )
    view = Code("111031", "DCM", "Image View")
    choices = tuple(
        Category(value.meaning, view, value, instance, 0.99)
        for value, instance in (
            (Code("272479007", "SCT", "postero-anterior"), IMAGES[0]),
            (Code("399348003", "SCT", "antero-posterior"), uid),
        )
    )
    return StudyFindings(
        images=(
            image(rotated, categories=choices[:1]),
            image(upright, mismatch, categories=choices[1:]),
        ),
        excluded=(NotAnalysed("outside the model's domain", IMAGES[2]),),
    )


def ct_source(number: int, **attributes: object) -> Dataset:
    """The header of one slice of a CT series."""
    header = source(**attributes)
    header.SOPClassUID = "1.2.840.10008.5.1.4.1.1.2"
    header.SOPInstanceUID = f"{SERIES}.{number}"
    header.Modality, header.StudyDescription = "CT", "Thorax"
    del header.ViewPosition, header.ImagerPixelSpacing
    header.PixelSpacing, header.Rows, header.Columns = [0.7, 0.7], 512, 512
    return header


def series(*, frames: bool = False) -> StudyFindings:
    """A nodule on slices 4 to 6 of a CT series, one Enhanced CT object with frames."""
    keys = tuple(
        KeySlice(
            f"{SERIES}.{1 if frames else number}",
            number,
            probability,
            number if frames else None,
            -150.0 + 5 * number,
        )
        for number, probability in ((4, 0.7), (5, 0.97), (6, 0.8))
    )
    top = keys[1]
    nodule = replace(
        finding("Pneumonia", 0.97),
        label="Nodule",
        code=Code("27925004", "SCT", "Nodule"),
        text="a nodule in a lung",
        sop_instance_uid=top.sop_instance_uid,
        activation_map=blob(0.3, 0.7),
        frame_number=top.frame_number,
        slices=keys,
    )
    scout = NotAnalysed("series 1: a localizer", by_design=True, n_images=2)
    read = AnalysedSeries(SERIES, "series 2 (60 slices of 5 mm)", 60, 24)
    shown = ImageFindings(
        top.sop_instance_uid, (nodule,), (), display(512, 512), None, top.frame_number
    )
    return StudyFindings((shown,), (scout,), series=(read,))


def not_analysed() -> StudyFindings:
    """Nothing fits."""
    reason = "the study holds no frontal chest radiograph"
    return StudyFindings(excluded=(NotAnalysed(reason, IMAGES[0]),), reason=reason)


def bare_source() -> Dataset:
    """A CR header that lacks nearly everything."""
    header = Dataset()
    header.SOPClassUID = "1.2.840.10008.5.1.4.1.1.1"
    header.SOPInstanceUID = IMAGES[0]
    header.StudyInstanceUID, header.SeriesInstanceUID = STUDY, SERIES
    return header


def about(sop_instance_uid: str, findings: StudyFindings) -> StudyFindings:
    """The same findings, said of another image."""
    images = tuple(
        replace(
            one,
            sop_instance_uid=sop_instance_uid,
            findings=tuple(
                replace(other, sop_instance_uid=sop_instance_uid)
                for other in one.findings
            ),
        )
        for one in findings.images
    )
    return replace(findings, images=images)
