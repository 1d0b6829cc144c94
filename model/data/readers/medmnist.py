"""MedMNIST v2 npz files (10.1038/s41597-022-01721-8), read without pickles.

Cut-down copies and Git LFS pointers are in circulation under the right names, so a
file of a known name must have the published MD5. ChestMNIST is made from NIH
ChestX-ray14 and PneumoniaMNIST from Kermany's images; who the patients are is lost.
"""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING

import numpy as np

from model.data.files import array_of
from model.data.manifest import ManifestError, Row
from model.data.readers.tables import label_name

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from typing import Any

    from numpy.typing import NDArray

    from model.data.readers.reading import Options, Tally

_NAME = re.compile(r"([a-z]+mnist)(?:_(64|128|224))?\.npz")
_PARTS = ("train", "val", "test")
_COLOURS = 3
# Published with the files: MD5 of the 28, 64, 128 and 224 pixel versions
MD5 = {
    "chestmnist.npz": "02c8a6516a18b556561a56cbdd36c4a8",
    "chestmnist_64.npz": "9de6cd0b934ebb5b7426cfba5efbae16",
    "chestmnist_128.npz": "db107e5590b27930b62dbaf558aebee3",
    "chestmnist_224.npz": "45bd33e6f06c3e8cdb481c74a89152aa",
    "pneumoniamnist.npz": "28209eda62fecd6e6a2d98b1501bb15f",
    "pneumoniamnist_64.npz": "8f4eceb4ccffa70c672198ea285246c6",
    "pneumoniamnist_128.npz": "05b46931834c231683c68f40c47b2971",
    "pneumoniamnist_224.npz": "d6a3c71de1b945ea11211b03746c1fe1",
    "breastmnist.npz": "750601b1f35ba3300ea97c75c52ff8f6",
    "breastmnist_64.npz": "742edef2a1fd1524b2efff4bd7ba9364",
    "breastmnist_128.npz": "363e4b3f8d712e9b5de15470a2aaadf1",
    "breastmnist_224.npz": "b56378a6eefa9fed602bb16d192d4c8b",
    "octmnist.npz": "c68d92d5b585d8d81f7112f81e2d0842",
    "octmnist_64.npz": "e229e9440236b774d9f0dfef9d07bdaf",
    "octmnist_128.npz": "0a97e76651ace45c5d943ee3f65b63ae",
    "octmnist_224.npz": "abc493b6d529d5de7569faaef2773ba3",
}
_LABELS = {
    "chestmnist": (
        "atelectasis",
        "cardiomegaly",
        "effusion",
        "infiltration",
        "mass",
        "nodule",
        "pneumonia",
        "pneumothorax",
        "consolidation",
        "edema",
        "emphysema",
        "fibrosis",
        "pleural",
        "hernia",
    ),
    "pneumoniamnist": ("normal", "pneumonia"),
    "breastmnist": ("malignant", "normal or benign"),
    "octmnist": (
        "choroidal neovascularization",
        "diabetic macular edema",
        "drusen",
        "normal",
    ),
}


def read(root: Path, options: Options, tally: Tally) -> Iterator[Row]:
    """One row per image of each npz in root, or of the one named options.source."""
    archives = sorted(root.glob(f"{options.source or '*mnist*'}.npz"))
    if not archives:
        raise ManifestError(
            f"{root.name or root} has no MedMNIST file such as pneumoniamnist.npz: give"
            " the folder that holds it with --root"
        )
    for archive in archives:
        tally.notes.append(_checked(archive))
        for part in _PARTS:
            yield from _rows(archive, part)


def _checked(archive: Path) -> str:
    """What the MD5 says; raises ManifestError when the file is another."""
    known = MD5.get(archive.name)
    if known is None:
        return f"{archive.name}: no published MD5 is known here, so it was not checked"
    with archive.open("rb") as file:
        found = hashlib.file_digest(file, _md5).hexdigest()
    if found != known:
        raise ManifestError(
            f"{archive.name} has MD5 {found}, not the published {known}: it is cut down"
            " or a Git LFS pointer; fetch it from where MedMNIST publishes it, or"
            " rename it if it is your own"
        )
    return f"{archive.name}: MD5 is the published one"


def _md5() -> Any:
    return hashlib.md5(usedforsecurity=False)


def _rows(archive: Path, part: str) -> Iterator[Row]:
    images = array_of(archive, f"{part}_images")
    labels = array_of(archive, f"{part}_labels")
    _check_shapes(archive, images, labels)
    flag = _flag(archive)
    names = _names(flag, labels)
    for place, values in enumerate(labels):
        path = f"{archive.name}#{part}_images/{place}"
        yield Row(
            path=path,
            patient="",
            study=f"{flag}-{part}-{place}",
            view="",
            labels=_labels(names, values),
            split=part,
            source=f"medmnist_{flag}",
            sha256="",
        )


def _flag(archive: Path) -> str:
    named = _NAME.fullmatch(archive.name)
    return named[1] if named else archive.stem


def _check_shapes(archive: Path, images: NDArray[Any], labels: NDArray[Any]) -> None:
    flat = images.ndim == _COLOURS or images.shape[_COLOURS:] == (_COLOURS,)
    if images.dtype != np.uint8 or not flat or len(images) != len(labels):
        raise ManifestError(
            f"{archive.name} holds {images.dtype} {images.shape} for"
            f" {len(labels)} labels: it must be 8-bit (n, rows, columns[, 3])"
        )


def _names(flag: str, labels: NDArray[Any]) -> list[str]:
    """Of the columns where there are several, else of the classes."""
    known = _LABELS.get(flag)
    if known:
        return [label_name(name) for name in known]
    n = labels.shape[1] if labels.shape[1] > 1 else int(labels.max()) + 1
    return [f"{flag} {index}" for index in range(n)]


def _labels(names: list[str], values: NDArray[Any]) -> dict[str, float]:
    if len(values) > 1:
        return {name: float(v) for name, v in zip(names, values, strict=True)}
    return {name: float(i == int(values[0])) for i, name in enumerate(names)}
