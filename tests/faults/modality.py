"""A modality with DCMTK: it keeps each instance until it has been answered Success."""

from __future__ import annotations

import random
import re
import subprocess
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ComputedRadiographyImageStorage, ExplicitVRLittleEndian

from tests.integration.rig import data_set

AE_TITLE = "MODALITY"
_SUCCESS = "Received Store Response (Success)"
_SENDING = "Sending file: "
_STATUS = re.compile(r"DIMSE Status\s*: 0x([0-9a-f]{4})")


@dataclass(frozen=True)
class Sample:
    """One instance as it lies in a file; ``sha256`` of its encoded data set."""

    path: Path
    study_instance_uid: str
    sop_instance_uid: str
    sha256: str


def made(folder: Path, rng: random.Random, study: str = "", n_bytes: int = 0) -> Sample:
    """A radiograph of about ``n_bytes``, of a study of its own unless one is named."""
    study = study or _uid(rng)
    ds = Dataset()
    ds.SOPClassUID = ComputedRadiographyImageStorage
    ds.SOPInstanceUID = _uid(rng)
    ds.Modality = "CR"
    ds.PatientName = "PHANTOM^CRASH"
    ds.PatientID = "DEMO"
    ds.StudyInstanceUID = study
    ds.SeriesInstanceUID = _uid(rng)
    ds.Rows, ds.Columns = 1 + (n_bytes or rng.randrange(40_000)) // 128, 64
    ds.SamplesPerPixel = 1
    ds.BitsAllocated = ds.BitsStored = 16
    ds.HighBit, ds.PixelRepresentation = 15, 0
    ds.PhotometricInterpretation = "MONOCHROME2"
    ds.add_new("PixelData", "OW", rng.randbytes(ds.Rows * 128))
    return saved(ds, folder / f"{ds.SOPInstanceUID}.dcm")


def saved(ds: Dataset, path: Path) -> Sample:
    """``ds`` in a file of its own, ready to be sent."""
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.save_as(path, enforce_file_format=True)
    return Sample(
        path,
        str(ds.StudyInstanceUID),
        str(ds.SOPInstanceUID),
        sha256(data_set(path)).hexdigest(),
    )


def send(port: int, samples: list[Sample], *options: str) -> list[Sample]:
    """Send once with DCMTK's storescu, however it ends; those answered Success."""
    argv = ["storescu", "-v", "-aet", AE_TITLE, "-aec", "DICOMNODE", "-to", "10"]
    argv += ["-td", "30", "-xe", "--no-halt", *options, "127.0.0.1", str(port)]
    argv += [str(one.path) for one in samples]
    done = subprocess.run(argv, capture_output=True, text=True, errors="replace")
    return acknowledged(done.stdout + done.stderr, samples)


def acknowledged(output: str, samples: list[Sample]) -> list[Sample]:
    """What storescu's own words say was answered Success."""
    by_path = {str(one.path): one for one in samples}
    sending, answered = "", []
    for line in output.splitlines():
        if _SENDING in line:
            sending = line.partition(_SENDING)[2].strip()
        elif _SUCCESS in line and sending:
            answered.append(by_path[sending])
            sending = ""
    return answered


def _uid(rng: random.Random) -> str:
    return f"2.25.{rng.getrandbits(100)}"


def statuses(port: int, samples: list[Sample]) -> list[int]:
    """The DIMSE statuses that storescu is answered, as far as there is an answer."""
    argv = ["storescu", "-d", "-aet", AE_TITLE, "-aec", "DICOMNODE", "-xe", "--no-halt"]
    argv += ["127.0.0.1", str(port), *(str(one.path) for one in samples)]
    done = subprocess.run(argv, capture_output=True, text=True, errors="replace")
    found = _STATUS.findall(done.stdout + done.stderr)
    return [int(one, 16) for one in found]


def answers(port: int, samples: list[Sample]) -> dict[str, int]:
    """Send once; the DIMSE status of each SOP Instance UID that is answered."""
    argv = ["storescu", "-d", "-aet", AE_TITLE, "-aec", "DICOMNODE", "-xe", "--no-halt"]
    argv += ["127.0.0.1", str(port), *(str(one.path) for one in samples)]
    done = subprocess.run(argv, capture_output=True, text=True, errors="replace")
    by_path = {str(one.path): one.sop_instance_uid for one in samples}
    sending, found = "", {}
    for line in (done.stdout + done.stderr).splitlines():
        if _SENDING in line:
            sending = by_path[line.partition(_SENDING)[2].strip()]
        elif status := _STATUS.search(line):
            found[sending] = int(status[1], 16)
    return found
