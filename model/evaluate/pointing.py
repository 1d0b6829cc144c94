"""Maps against what people marked: the pointing game, and how far both overlap."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from model import metrics
from model.data.boxes import image_name
from model.data.files import locate, read_image
from model.data.manifest import ManifestError
from model.evaluate.evaluation import Entry
from model.evaluate.saliency import Box, overlap, points_into

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from model.bundle.serve import Bundle
    from model.data.boxes import Marked
    from model.data.manifest import Row
    from model.metrics import Figure

    Map = NDArray[np.float32]

SECTION = "pointing"
_FINE = 4  # boxes are laid on a map this many times finer than the network's canvas


def entries(
    bundle: Bundle,
    rows: Sequence[Row],
    roots: Sequence[Path],
    marked: Sequence[Marked],
    *,
    draws: int = 2000,
) -> list[Entry]:
    """For each label and source with boxes: hits of the map that service sends, what
    chance and the middle of the image would hit, and the overlap.

    Raises ManifestError when no image of the rows has a box of a label of the bundle.
    """
    drawn = _by_image(marked)
    there = [row for row in rows if image_name(row.path) in drawn]
    names = {label.name for label in bundle.description.labels}
    found: dict[tuple[str, str], list[tuple[Row, dict[str, float]]]] = {}
    for row in there:
        own = drawn[image_name(row.path)]
        wanted = sorted(names & {box.label for box in own})
        if wanted:
            [prediction] = bundle.predict([read_image(locate(row, roots))])
        for name in wanted:
            said = judged(prediction.activation_maps[name], of_label(own, name))
            found.setdefault((name, row.source), []).append((row, said))
    if not found:
        raise ManifestError(
            f"no image here has a box of {', '.join(sorted(names))}: give a table whose"
            " images and labels are those of the manifest and the bundle"
        )
    return [
        entry
        for (name, source), said in sorted(found.items())
        for entry in _of_task(name, source, said, draws)
    ]


def judged(map_: Map, own: Sequence[Marked]) -> dict[str, float]:
    """One map over the whole image, and the boxes of its label."""
    fine = _finer(map_)
    boxes = scaled(own, fine.shape)
    return {
        "hit": float(points_into(fine, boxes)),
        "iou": overlap(fine, boxes),
        "share": _share(fine.shape, boxes),
        "middle": float(points_into(_middle(fine.shape), boxes)),
    }


def fact(map_: Map, label: str, marked: Sequence[Marked]) -> dict[str, Any]:
    """For explain.json; empty when nobody marked this label."""
    own = of_label(marked, label)
    if not own:
        return {}
    plane = torch.from_numpy(map_)
    boxes = scaled(own, plane.shape)
    return {
        "points into a box": points_into(plane, boxes),
        "overlap with the boxes": overlap(plane, boxes),
        "share of the image that is marked": _share(plane.shape, boxes),
    }


def of_label(marked: Iterable[Marked], label: str) -> list[Marked]:
    """The boxes of one label."""
    return [box for box in marked if box.label == label]


def scaled(own: Iterable[Marked], shape: Sequence[int]) -> list[Box]:
    """In pixels of a map of (rows, columns) over the whole image."""
    rows, columns = shape
    found = []
    for box in own:
        left, top, width, height = box.shares()
        found.append(Box(left * columns, top * rows, width * columns, height * rows))
    return found


def _by_image(marked: Iterable[Marked]) -> dict[str, list[Marked]]:
    found: dict[str, list[Marked]] = {}
    for box in marked:
        found.setdefault(box.image, []).append(box)
    return found


def _of_task(
    label: str, source: str, said: Sequence[tuple[Row, dict[str, float]]], draws: int
) -> list[Entry]:
    patients = [row.patient for row, _ in said]
    kept = {key: np.array([one[key] for _, one in said]) for key in said[0][1]}

    def mean(key: str) -> Figure:
        values = kept[key]
        return metrics.drawn_figure(
            lambda rows: float(values[rows].mean()), patients, draws=draws
        )

    def share(key: str) -> Figure:
        return metrics.share_figure(kept[key] > 0, patients, draws=draws)

    figures = {
        f"{label}: the map's largest value lies in a box": share("hit"),
        f"{label}: a place at random would": mean("share"),
        f"{label}: the middle of the image would": share("middle"),
        f"{label}: overlap (IoU) of boxes and map above half": mean("iou"),
    }
    return [Entry(SECTION, name, source, one) for name, one in figures.items()]


def _finer(map_: Map) -> torch.Tensor:
    """Large boxes do not mind, small ones would be rounded away."""
    plane = torch.from_numpy(np.ascontiguousarray(map_))[None, None]
    fine: torch.Tensor = torch.nn.functional.interpolate(
        plane, scale_factor=_FINE, mode="bilinear", align_corners=False
    )[0, 0]
    return fine


def _share(shape: Sequence[int], boxes: Sequence[Box]) -> float:
    """Of the image that is marked, which is what a place at random would hit."""
    everything = torch.ones(tuple(shape))
    return overlap(everything, boxes, share=0.5)


def _middle(shape: Sequence[int]) -> torch.Tensor:
    plane = torch.zeros(tuple(shape))
    plane[shape[0] // 2, shape[1] // 2] = 1.0
    return plane
