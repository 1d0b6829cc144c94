"""The results of an invented study, built to have made what is made only once.

Faces, colours, dictionaries and the items of a bundle: the first study of a process
would wait for them.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import replace

import numpy as np
from pydicom.dataset import Dataset
from pydicom.uid import DigitalXRayImageStorageForPresentation

from dicomnode.domain.findings import (
    Finding,
    ImageFindings,
    OperatingPoint,
    Presence,
    StudyFindings,
)
from dicomnode.results import codes
from dicomnode.results.build import build
from dicomnode.results.context import ReportContext
from dicomnode.results.uids import uid_from

_STUDY, _SERIES, _IMAGE = (
    uid_from("rehearsal", one) for one in ("study", "series", "image")
)
_ROWS, _COLUMNS = 64, 56
_POINT = OperatingPoint(0.5, 0.5, 0.5)


def rehearse(context: ReportContext, kinds: Collection[str]) -> None:
    """Build ``kinds`` of results for nobody: of a study with findings, and without.

    context: of which the sources do not count. Raises ResultError, as the first study
    would.
    """
    context = replace(context, sources=[_source()])
    for probability in (0.9, 0.1):
        findings = tuple(_findings(context.bundle.labels, probability))
        shown = np.zeros((_ROWS, _COLUMNS), np.uint8)
        image = ImageFindings(_IMAGE, findings, display=shown)
        build(context, StudyFindings(images=(image,)), kinds)


def _source() -> Dataset:
    header = Dataset()
    header.SOPClassUID = DigitalXRayImageStorageForPresentation
    header.SOPInstanceUID = _IMAGE
    header.StudyInstanceUID, header.SeriesInstanceUID = _STUDY, _SERIES
    header.Modality, header.ViewPosition, header.BodyPartExamined = "DX", "PA", "CHEST"
    header.Rows, header.Columns = _ROWS, _COLUMNS
    header.ImagerPixelSpacing = [0.14, 0.14]
    return header


def _findings(labels: Collection[str], probability: float) -> Iterator[Finding]:
    """The first label may be present, the others are absent."""
    for number, label in enumerate(labels or ("rehearsal",)):
        said = probability if number == 0 else 0.1
        yield Finding(
            label=label,
            code=replace(codes.FINDING, value=label[:16], scheme=codes.PRIVATE_SCHEME),
            presence=Presence.PRESENT if said >= _POINT.threshold else Presence.ABSENT,
            text="",
            sop_instance_uid=_IMAGE,
            probability=said,
            calibrated=True,
            operating_point=_POINT,
            activation_map=np.ones((8, 7), np.float32),
        )
