"""Phantom radiographs as the DICOM objects a modality would send.

The pixels come from `model.phantom`; here they get a complete header. Every identity
is synthetic and says so: family name PHANTOM, PatientID and accession starting DEMO.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from io import BytesIO
from uuid import UUID, uuid5

import numpy as np
from numpy.typing import NDArray
from pydicom import dcmwrite
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import (
    UID,
    ComputedRadiographyImageStorage,
    CTImageStorage,
    DigitalXRayImageStorageForPresentation,
    ExplicitVRBigEndian,
)

Pixels16 = NDArray[np.uint16]

_UIDS = UUID("0a8a2b54-2f2b-5d0e-8a43-6a2f0d2f6c11")
_MAXIMUM_12_BIT = 4095
_SPACING_MM = 0.5
_VIEW_CODES = {
    "PA": ("272479007", "postero-anterior"),
    "AP": ("399348003", "antero-posterior"),
}


@dataclass(frozen=True, slots=True)
class Order:
    """What the modality got from its worklist for one study.

    ``at`` is the aware instant of the exposure; the same order and instant give the
    same UIDs. ``patient_name`` is a DICOM person name (PS3.5 6.2.1).
    """

    number: int
    patient_name: str
    patient_sex: str
    at: datetime

    def uid(self, *parts: object) -> UID:
        """A UID of this study or of something in it (PS3.5 B.2)."""
        name = "|".join(map(str, (self.at.isoformat(), self.number, *parts)))
        return UID(f"2.25.{uuid5(_UIDS, name).int}")


@dataclass(frozen=True, slots=True)
class Exposure:
    """One image: pixels uint16 (rows, columns), 12 bits, and what the header claims.

    ``monochrome1`` stores the values inverted and says so, which looks the same.
    """

    pixels: Pixels16
    view: str = "PA"
    body_part: str = "CHEST"
    monochrome1: bool = False


def digital_radiograph(order: Order, exposure: Exposure, number: int = 1) -> Dataset:
    """A DX image for presentation (PS3.3 A.26), not compressed."""
    ds = _radiograph(order, exposure, number, DigitalXRayImageStorageForPresentation)
    ds.PresentationIntentType = "FOR PRESENTATION"
    ds.ImageType = ["ORIGINAL", "PRIMARY"]
    ds.ImageLaterality = "R" if exposure.body_part == "HAND" else "U"
    ds.AnatomicRegionSequence = [_anatomic_region(exposure.body_part)]
    ds.PixelIntensityRelationship = "LOG"
    # PS3.3 C.8.11.3.1.2: -1 says that more X-rays give lower values.
    ds.PixelIntensityRelationshipSign = 1 if exposure.monochrome1 else -1
    ds.PresentationLUTShape = "INVERSE" if exposure.monochrome1 else "IDENTITY"
    ds.RescaleIntercept, ds.RescaleSlope, ds.RescaleType = "0", "1", "US"
    ds.DetectorType = "SCINTILLATOR"
    ds.DetectorID = "DEMO-PANEL-1"
    ds.PositionerType = "NONE"
    ds.AcquisitionContextSequence = Sequence()
    if exposure.view in _VIEW_CODES:
        ds.ViewCodeSequence = [_view_code(exposure.view)]
    return ds


def computed_radiograph(order: Order, exposure: Exposure, number: int = 1) -> Dataset:
    """A CR image (PS3.3 A.2), not compressed."""
    ds = _radiograph(order, exposure, number, ComputedRadiographyImageStorage)
    ds.ImageType = ["ORIGINAL", "PRIMARY"]
    ds.ViewPosition = exposure.view
    ds.PlateID = "DEMO-PLATE-7"
    return ds


def computed_tomograph(order: Order, pixels: Pixels16) -> Dataset:
    """One axial CT image of a water phantom (PS3.3 A.3), which no pipeline wants."""
    ds = _common(order, CTImageStorage, "HEAD", 1)
    ds.Modality, ds.PatientPosition = "CT", "HFS"
    ds.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    ds.FrameOfReferenceUID, ds.PositionReferenceIndicator = order.uid("frame"), None
    ds.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    ds.ImagePositionPatient = [-125, -125, 0]
    ds.PixelSpacing, ds.SliceThickness = [0.9765625, 0.9765625], 5
    ds.AcquisitionNumber, ds.KVP = 1, "120"
    ds.RescaleIntercept, ds.RescaleSlope, ds.RescaleType = "-1024", "1", "HU"
    _put_pixels(ds, pixels, monochrome1=False)
    return ds


def encoded(ds: Dataset, transfer_syntax_uid: UID) -> bytes:
    """A complete PS3.10 file in the given transfer syntax."""
    if transfer_syntax_uid.is_compressed and not transfer_syntax_uid.is_deflated:
        return _written(_compressed(ds, transfer_syntax_uid), transfer_syntax_uid)
    if transfer_syntax_uid == ExplicitVRBigEndian:
        ds = _swapped(ds)
    return _written(ds, transfer_syntax_uid)


def _radiograph(
    order: Order, exposure: Exposure, number: int, sop_class_uid: UID
) -> Dataset:
    ds = _common(order, sop_class_uid, exposure.body_part, number)
    ds.Modality = "CR" if sop_class_uid == ComputedRadiographyImageStorage else "DX"
    if exposure.view:
        ds.ViewPosition = exposure.view
    ds.PatientOrientation = ["L", "F"]
    ds.ImagerPixelSpacing = [_SPACING_MM, _SPACING_MM]
    ds.KVP, ds.Exposure, ds.ExposureTime = "117", 2, 8
    ds.DistanceSourceToDetector = "1800" if exposure.view == "PA" else "1100"
    ds.WindowCenter, ds.WindowWidth = "2048", "4096"
    _put_pixels(ds, exposure.pixels, exposure.monochrome1)
    return ds


def _common(order: Order, sop_class_uid: UID, body_part: str, number: int) -> Dataset:
    ds = Dataset()
    ds.SpecificCharacterSet = "ISO_IR 192"
    ds.SOPClassUID = sop_class_uid
    ds.SOPInstanceUID = order.uid("instance", number)
    ds.StudyInstanceUID, ds.SeriesInstanceUID = order.uid(), order.uid("series")
    _describe_patient(ds, order)
    _describe_study(ds, order)
    ds.SeriesNumber, ds.InstanceNumber = 1, number
    ds.SeriesDescription = f"{body_part.capitalize()} phantom"
    ds.BodyPartExamined = body_part
    # Not the node's own name: it would take the images for results of its own.
    ds.Manufacturer, ds.ManufacturerModelName = "Demo Imaging", "Phantom generator"
    ds.DeviceSerialNumber, ds.SoftwareVersions = "DEMO", "1"
    ds.InstitutionName, ds.StationName = "Demonstration, no patients", "DEMO"
    return ds


def _describe_patient(ds: Dataset, order: Order) -> None:
    ds.PatientName, ds.PatientSex = order.patient_name, order.patient_sex
    ds.PatientID = f"DEMO-{order.number:04d}"
    ds.IssuerOfPatientID = "DICOMNODE-DEMO"
    ds.PatientBirthDate = f"{order.at.year - 60}0101"
    ds.PatientAge = "060Y"
    ds.PatientComments = "Computer-generated phantom, not a person"


def _describe_study(ds: Dataset, order: Order) -> None:
    ds.AccessionNumber = f"DEMO{order.number:04d}"
    ds.StudyID = str(order.number)
    ds.StudyDescription = "Phantom, demonstration"
    ds.ReferringPhysicianName = None
    date, time = order.at.strftime("%Y%m%d"), order.at.strftime("%H%M%S")
    for moment in ("Study", "Series", "Acquisition", "Content"):
        setattr(ds, f"{moment}Date", date)
        setattr(ds, f"{moment}Time", time)
    ds.TimezoneOffsetFromUTC = "+0000"


def _anatomic_region(body_part: str) -> Dataset:
    # CID 4009, DX Anatomy Imaged.
    value, meaning = {"HAND": ("85562004", "Hand")}.get(
        body_part, ("51185008", "Chest")
    )
    return _code(value, meaning)


def _view_code(view: str) -> Dataset:
    """CID 4010, DX View."""
    value, meaning = _VIEW_CODES[view]
    item = _code(value, meaning)
    item.ViewModifierCodeSequence = Sequence()
    return item


def _code(value: str, meaning: str) -> Dataset:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator = value, "SCT"
    item.CodeMeaning = meaning
    return item


def _put_pixels(ds: Dataset, pixels: Pixels16, monochrome1: bool) -> None:
    stored = _MAXIMUM_12_BIT - pixels if monochrome1 else pixels
    ds.SamplesPerPixel = 1
    ds.PhotometricInterpretation = "MONOCHROME1" if monochrome1 else "MONOCHROME2"
    ds.Rows, ds.Columns = pixels.shape
    ds.BitsAllocated, ds.BitsStored, ds.HighBit = 16, 12, 11
    ds.PixelRepresentation = 0
    ds.BurnedInAnnotation, ds.LossyImageCompression = "NO", "00"
    ds.PixelData = np.ascontiguousarray(stored, "<u2").tobytes()
    ds["PixelData"].VR = "OW"


def _compressed(ds: Dataset, transfer_syntax_uid: UID) -> Dataset:
    """A copy with encapsulated pixel data (PS3.5 A.4)."""
    copy = _without_pixels(ds)
    frame = np.frombuffer(ds.PixelData, "<u2").reshape(ds.Rows, ds.Columns)
    copy.compress(transfer_syntax_uid, frame, generate_instance_uid=False)
    return copy


def _swapped(ds: Dataset) -> Dataset:
    """A copy whose pixel words are big endian; pydicom swaps all else itself."""
    copy = _without_pixels(ds)
    copy.PixelData = np.frombuffer(ds.PixelData, "<u2").astype(">u2").tobytes()
    copy["PixelData"].VR = "OW"
    return copy


def _without_pixels(ds: Dataset) -> Dataset:
    # A plain Dataset(ds) would share the pixel element, and lose it in both.
    return Dataset(
        {element.tag: element for element in ds if element.keyword != "PixelData"}
    )


def _written(ds: Dataset, transfer_syntax_uid: UID) -> bytes:
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = transfer_syntax_uid
    ds.file_meta.MediaStorageSOPClassUID = ds.SOPClassUID
    ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID
    buffer = BytesIO()
    dcmwrite(buffer, ds, enforce_file_format=True)
    return buffer.getvalue()
