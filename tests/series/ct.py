"""CT studies drawn by `model.phantom_ct`, as files, and a bundle trained on them."""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO

import numpy as np
import torch
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import (
    CTImageStorage,
    EnhancedCTImageStorage,
    ExplicitVRLittleEndian,
)

from model import bundle
from model.bundle import domain as domains
from model.bundle.engine import Engine
from model.bundle.serve import DOMAIN, MODEL, TEST
from model.bundle.write import Content
from model.network import Head, build
from model.phantom_ct import Scan, scan
from model.preparation import statistics
from model.transforms import EvalPreset

STUDY = "1.2.826.0.1.3680043.10.511.7.1"
SPHERE = {"value": "27925004", "scheme": "SCT", "meaning": "Nodule"}
LUNG = {"value": "39607008", "scheme": "SCT", "meaning": "Lung"}
WINDOWS = [[-600, 1500], [40, 400]]
SIZE, DEPTH, PIXELS = 48, 3, 64
HEAD = Head("nodule", ("nodule",), "sigmoid")
SERIES = {
    "windows": WINDOWS,
    "stack_depth": DEPTH,
    "min_slices": 10,
    "planes": ["axial"],
    "slice_thickness_mm": [3, 8],
    "aggregation": {"method": "max"},
}


def slice_of(found: Scan, number: int, series: int = 2, **changes) -> Dataset:
    """One axial slice as a scanner would write it."""
    plane = found.hounsfield[number]
    ds = Dataset()
    ds.SOPClassUID, ds.Modality = CTImageStorage, "CT"
    ds.StudyInstanceUID, ds.SeriesInstanceUID = STUDY, f"{STUDY}.{series}"
    ds.SOPInstanceUID = f"{STUDY}.{series}.{number + 1}"
    ds.FrameOfReferenceUID = f"{STUDY}.9"
    ds.PatientName, ds.PatientID = "PHANTOM^CT", "CT-1"
    ds.PatientBirthDate, ds.PatientSex = "", "O"
    ds.StudyDate, ds.StudyTime, ds.StudyID = "20261126", "080000", "1"
    ds.AccessionNumber, ds.ReferringPhysicianName = "A1", ""
    ds.SeriesNumber, ds.InstanceNumber, ds.AcquisitionNumber = series, number + 1, 1
    ds.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    ds.BodyPartExamined, ds.Manufacturer = "CHEST", "Phantom"
    ds.PatientPosition = "HFS"
    ds.SliceThickness = found.spacing_mm
    ds.ConvolutionKernel, ds.KVP = "B30f", "120"
    ds.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    ds.ImagePositionPatient = [-180, -180, number * found.spacing_mm - 150]
    ds.PixelSpacing = [found.pixel_mm, found.pixel_mm]
    ds.RescaleIntercept, ds.RescaleSlope, ds.RescaleType = -1024, 1, "HU"
    ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
    ds.Rows, ds.Columns = plane.shape
    ds.BitsAllocated, ds.BitsStored, ds.HighBit = 16, 12, 11
    ds.PixelRepresentation = 0
    ds.PixelData = (plane + 1024).astype("<u2").tobytes()
    for keyword, value in changes.items():
        setattr(ds, keyword, value)
    return ds


def write(ds: Dataset, path: Path) -> Path:
    """As a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        as_file(ds, file)
    return path


def as_file(ds: Dataset, file: BinaryIO) -> None:
    """Into an open file."""
    ds.file_meta = FileMetaDataset()
    ds.file_meta.MediaStorageSOPClassUID = ds.SOPClassUID
    ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.save_as(file, enforce_file_format=True, little_endian=True, implicit_vr=False)


def write_series(found: Scan, folder: Path, series: int = 2, **changes) -> list[Path]:
    """Every slice of a scan as files, in an order that is not theirs."""
    numbers = np.random.default_rng(1).permutation(len(found.hounsfield))
    return [
        write(
            slice_of(found, int(n), series, **changes), folder / f"{series}-{n:03d}.dcm"
        )
        for n in numbers
    ]


def stack_of(found: Scan, number: int) -> np.ndarray:
    """float32 (depth x windows, rows, columns) in [0, 1], as the node makes it."""
    last, half = len(found.hounsfield) - 1, DEPTH // 2
    planes = []
    for step in range(-half, half + 1):
        plane = found.hounsfield[min(max(number + step, 0), last)].astype(np.float32)
        for centre, width in WINDOWS:
            share = np.clip((plane - centre) / width + 0.5, 0, 1)
            planes.append(np.rint(share * 255) / 255)
    return np.asarray(planes, np.float32)


def train(
    folder: Path, name: str = "ct-nodule", stack=stack_of, modality="CT", **series
) -> Path:
    """A slice classifier of a few seconds, packed as a series bundle.

    stack: what the network sees of a slice of a scan.
    """
    torch.manual_seed(1)
    preset = EvalPreset(SIZE, normalise="fixed")
    canvases, targets = _examples(preset, stack)
    network = build("slim", [HEAD], channels=DEPTH * len(WINDOWS))
    steps = 100
    optimiser = torch.optim.AdamW(network.parameters(), 2e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    network.train()
    chance = torch.where(targets > 0, 1 / targets.sum(), 1 / (1 - targets).sum())
    for _ in range(steps):
        chosen = torch.multinomial(chance, 24, replacement=True)
        logits = network(canvases[chosen]).logits["nodule"][:, 0]
        loss = torch.nn.functional.binary_cross_entropy_with_logits(
            logits, targets[chosen]
        )
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
    network.eval()
    engine = Engine(network, preset, torch.device("cpu"))
    table = _table(name, SERIES | series)
    table["input"]["modalities"] = [modality]
    content = Content(table, *_packed(engine, canvases, stack))
    bundle.save(folder, content)
    return folder


def _examples(preset: EvalPreset, stack) -> tuple[torch.Tensor, torch.Tensor]:
    """From many scans a few slices each; those at the rim of a sphere teach nothing."""
    canvases, targets = [], []
    random = np.random.default_rng(3)
    for seed in range(30):
        found = scan(100 + seed, lesion=seed % 3 != 0, n_slices=40, size=PIXELS)
        cut = found.sphere.slices(40, found.spacing_mm) if found.sphere else ()
        inside = cut[2:-2]
        outside = sorted(
            set(range(40))
            - set(range(min(cut, default=0) - 2, max(cut, default=-1) + 3))
        )
        for numbers, target in ((inside, 1.0), (outside, 0.0)):
            for number in random.permutation(numbers)[:6].astype(int):
                canvases.append(preset(stack(found, int(number))))
                targets.append(target)
    return torch.stack(canvases), torch.tensor(targets)


def _packed(engine: Engine, canvases: torch.Tensor, stack):
    test = scan(7, lesion=True, n_slices=4, size=PIXELS)
    image = np.rint(stack(test, 1) * 255).astype(np.uint8)
    output = engine.run([(image / np.float32(255)).astype(np.float32)])
    with torch.inference_mode():
        said = engine.network(canvases)
    grey = [statistics(np.asarray(one) / 4 + 0.5) for one in canvases]
    vectors = engine.measured(said, grey).double().numpy()
    whitening, means, _ = domains.fit(vectors, ["phantom"] * len(vectors), 0.5)
    tensors = {MODEL + n: t for n, t in engine.network.state_dict().items()}
    tensors |= {
        DOMAIN + "whitening": whitening,
        DOMAIN + "means": means,
        TEST + "image": torch.from_numpy(image),
        TEST + "logits": output.logits["nodule"][0],
    }
    return tensors, {"model_card.md": "# A phantom\n\nResearch use only.\n"}


def _table(name: str, series: dict) -> dict:
    label = {
        "name": "nodule",
        "head": "nodule",
        "index": 0,
        "kind": "finding",
        "code": SPHERE,
        "site": LUNG,
        "text": "a bright sphere in a lung",
        "operating_point": 0.5,
        "grey_low": 0.5,
        "grey_high": 0.5,
        "calibrated": True,
    }
    return {
        "name": name,
        "version": "0.1.0",
        "manufacturer": "dicomnode",
        "task": "bright sphere in a phantom",
        "intended_use": "Tests with phantoms",
        "algorithm_family": "CNN",
        "labels": [label],
        "header_checks": [],
        "input": {
            "unit": "series",
            "modalities": ["CT"],
            "sop_class_uids": [],
            "body_parts": [],
            "min_rows": 16,
            "min_columns": 16,
            "max_images": 1,
            "series": series,
        },
        "heads": [
            {
                "name": "nodule",
                "classes": ["nodule"],
                "activation": "sigmoid",
                "temperature": 1.0,
                "sources": [],
            }
        ],
        "network": {
            "architecture": "slim",
            "feature_stride": 16,
            "channels": DEPTH * len(WINDOWS),
        },
        "preset": EvalPreset(SIZE, normalise="fixed").to_dict(),
        "domain": {"limit": 3.0, "kinds": ["phantom"]},
        "parameters": {"preset": "fixed windows"},
    }


def enhanced(found: Scan, series: int = 5) -> Dataset:
    """The same as one Enhanced CT object, its frames from head to feet."""
    ds = slice_of(found, 0, series)
    ds.SOPClassUID = EnhancedCTImageStorage
    ds.SOPInstanceUID = f"{STUDY}.{series}.1"
    ds.NumberOfFrames = len(found.hounsfield)
    ds.ImageType = ["ORIGINAL", "PRIMARY", "VOLUME", "NONE"]
    for keyword in (
        "ImagePositionPatient",
        "ImageOrientationPatient",
        "PixelSpacing",
        "SliceThickness",
        "RescaleIntercept",
        "RescaleSlope",
        "RescaleType",
    ):
        delattr(ds, keyword)
    shared = Dataset()
    shared.PlaneOrientationSequence = [_item(ImageOrientationPatient=_AXIAL)]
    measures = {"PixelSpacing": [found.pixel_mm] * 2, "SliceThickness": 5}
    shared.PixelMeasuresSequence = [_item(**measures)]
    ds.SharedFunctionalGroupsSequence = [shared]
    order = range(len(found.hounsfield))[::-1]
    ds.PerFrameFunctionalGroupsSequence = [_frame(found, number) for number in order]
    # Every frame has its own intercept: it must be applied frame by frame.
    stored = [found.hounsfield[n] + 1024 + n for n in order]
    ds.PixelData = np.stack(stored).astype("<u2").tobytes()
    ds.BitsStored, ds.HighBit = 16, 15
    return ds


_AXIAL = [1, 0, 0, 0, 1, 0]


def _frame(found: Scan, number: int) -> Dataset:
    frame = Dataset()
    place = [-180, -180, number * found.spacing_mm - 150]
    frame.PlanePositionSequence = [_item(ImagePositionPatient=place)]
    rescale = {"RescaleIntercept": -1024 - number, "RescaleSlope": 1}
    frame.PixelValueTransformationSequence = [_item(**rescale, RescaleType="HU")]
    return frame


def _item(**values) -> Dataset:
    made = Dataset()
    for keyword, value in values.items():
        setattr(made, keyword, value)
    return made
