"""Does the domain gate know a stranger? DICOM images the bundle is not made for."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch

from model import metrics, pixels
from model.evaluate.evaluation import Entry
from model.pixels import UnsupportedPixels

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from numpy.typing import NDArray
    from pydicom import Dataset

    from model.bundle.description import InputSpec
    from model.bundle.serve import Bundle

_BATCH = 16


class Stranger(NamedTuple):
    """An image of another modality or body region; kind: both, in words."""

    series: str
    kind: str
    image: NDArray[np.float32]


def strangers(folder: Path, made_for: InputSpec) -> Iterable[Stranger]:
    """Every image below a folder that can be shown and that the bundle is not for.

    An image counts when its modality is not the bundle's, or its Body Part Examined is
    given and not one of the bundle's. Files without pixels, and pixels that cannot be
    decoded, are passed over.
    """
    for path in sorted(folder.rglob("*")):
        found = _stranger(path, made_for) if path.is_file() else None
        if found is not None:
            yield found


def _stranger(path: Path, made_for: InputSpec) -> Stranger | None:
    try:
        ds = pixels.read(path)
        if not ds.get("Modality") or not is_foreign(ds, made_for):
            return None
        image = pixels.display_pixels(ds)
    except UnsupportedPixels:
        return None
    kind = f"{ds.Modality} {ds.get('BodyPartExamined') or ''}".strip()
    return Stranger(str(ds.get("SeriesInstanceUID", path.name)), kind, image)


def is_foreign(header: Dataset, made_for: InputSpec) -> bool:
    """Surely not an image of the kind the bundle is made for."""
    part = str(header.get("BodyPartExamined", "") or "").upper()
    other_part = part != "" and part not in made_for.body_parts
    return str(header.Modality) not in made_for.modalities or other_part


def entries(
    bundle: Bundle, home: NDArray[np.float64], folder: Path, *, draws: int = 2000
) -> list[Entry]:
    """AUROC of the distance, strangers against home, and the share of them refused.

    home: distances of the images the bundle is for, as they are. Strangers are drawn
    again by series, home images one by one.
    """
    found = list(strangers(folder, bundle.description.input))
    if not found:
        return []
    far = distances(bundle, [one.image for one in found])
    units = [f"home {i}" for i in range(len(home))] + [one.series for one in found]
    strange = np.arange(len(units)) >= len(home)
    limit = bundle.parts.domain.limit
    area = metrics.auroc_figure(
        np.concatenate([home, far]), strange, units, draws=draws
    )
    series = [one.series for one in found]
    refused = metrics.share_figure(far > limit, series, draws=draws)
    kinds = ", ".join(sorted({one.kind for one in found}))
    name = "AUROC of the distance, strangers against home"
    return [
        Entry("domain", name, folder.name, area, kinds),
        Entry("domain", "strangers refused", folder.name, refused),
    ]


def distances(
    bundle: Bundle, images: Sequence[NDArray[np.float32]]
) -> NDArray[np.float64]:
    """(n,) distance of each image from the training images."""
    engine, domain = bundle.parts.engine, bundle.parts.domain
    found = []
    for start in range(0, len(images), _BATCH):
        batch = images[start : start + _BATCH]
        vectors = engine.vectors(engine.run(batch), batch)
        found.append(domain.nearest(vectors)[0])
    return np.asarray(torch.cat(found).numpy(), np.float64)
