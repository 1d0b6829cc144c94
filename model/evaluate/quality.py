"""Checks without a network: their limits from home's images, and how well they do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torchvision.transforms.v2 import functional as v2

from model import metrics, quality
from model.bundle.quality import answer
from model.data.files import locate, read_image
from model.evaluate.evaluation import Entry

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from model.bundle import QualityCheck
    from model.data.manifest import Row

    Plane = NDArray[np.float32]
    Column = NDArray[np.float64]
    Change = Callable[[Plane], Plane]

_BLUR = 0.015
_COVERED = 0.25


def fitted(
    checks: Sequence[dict[str, Any]],
    rows: Sequence[Row],
    roots: Sequence[Path],
    settings: Mapping[str, float],
) -> list[dict[str, Any]]:
    """The checks of a bundle with the limits that these images give.

    checks: as in the `.bundle.toml`; `fitted` names the sides (low, high, both) whose
    limits are set here, and is left out of the result. settings: share of each source's
    images beyond what is usual on either side; stretch, how much further from the
    median than that the limit lies. The widest source counts. Phantoms take no part
    unless there is nothing else.
    """
    wanted = [check for check in checks if check.get("fitted")]
    if not wanted:
        return [dict(check) for check in checks]
    real = [row for row in rows if row.source != "phantom"] or list(rows)
    sources = np.array([row.source for row in real])
    measured = _columns([quality.measure(_image(row, roots)) for row in real])
    parts = {
        name: [column[sources == source] for source in sorted(set(sources.tolist()))]
        for name, column in measured.items()
    }
    return [_with_limits(check, parts, settings) for check in checks]


def figures(
    checks: Sequence[QualityCheck],
    rows: Sequence[Row],
    roots: Sequence[Path],
    *,
    draws: int,
) -> list[Entry]:
    """For each source: how often a check speaks up on its images as they are, and how
    often on the same images made worse in the way it is there for.
    """
    of_pixels = [check for check in checks if check.measure]
    if not of_pixels:
        return []
    entries: list[Entry] = []
    for source in sorted({row.source for row in rows}):
        here = [row for row in rows if row.source == source]
        patients = [row.patient for row in here]
        for name, column in _answers(of_pixels, here, roots).items():
            figure = metrics.share_figure(column, patients, draws=draws)
            entries.append(Entry("quality", name, source, figure))
    return entries


def changes() -> dict[str, tuple[str, Change]]:
    """What is done to images -> the measure that must notice; display pixels."""
    return {
        "darkened to a third": ("median", lambda image: image / np.float32(3)),
        "brightened to a third": ("median", lambda image: 1 - (1 - image) / 3),
        "contrast 0.25": ("contrast", lambda image: 0.5 + (image - 0.5) * 0.25),
        "window a third as wide": ("clipped", _narrowed),
        "blurred, 1.5 % of the width": ("sharpness", _blurred),
        "a quarter covered on each side": ("border", _covered),
        "squeezed to half its height": ("aspect", lambda image: image[::2]),
    }


def _answers(
    checks: Sequence[QualityCheck], rows: Sequence[Row], roots: Sequence[Path]
) -> dict[str, NDArray[np.bool_]]:
    """Name of a figure -> for each image, whether its check said "present"."""
    found: dict[str, list[bool]] = {}
    for row in rows:
        image = _image(row, roots)
        as_is = _present(checks, image)
        found.setdefault("any remark, as they are", []).append(any(as_is.values()))
        for check in checks:
            name = f"{check.name}, as they are"
            found.setdefault(name, []).append(as_is[check.measure])
        for change, (measure, worse) in changes().items():
            if measure in as_is:
                said = _present(checks, np.ascontiguousarray(worse(image), np.float32))
                found.setdefault(f"found: {change}", []).append(said[measure])
    return {name: np.array(column) for name, column in found.items()}


def _present(checks: Sequence[QualityCheck], image: Plane) -> dict[str, bool]:
    measured = quality.measure(image)
    return {
        check.measure: answer(check.limits, measured[check.measure]) == "present"
        for check in checks
        if check.limits
    }


def _with_limits(
    check: dict[str, Any],
    parts: Mapping[str, Sequence[Column]],
    settings: Mapping[str, float],
) -> dict[str, Any]:
    kept = {key: value for key, value in check.items() if key != "fitted"}
    side = check.get("fitted", "")
    if not side:
        return kept
    limits = dict(check.get("limits", {}))
    columns, share = parts[check["measure"]], float(settings["share"])
    if side in ("low", "both"):
        edges = [_edge(column, share, settings["stretch"]) for column in columns]
        limits["usual_low"] = round(min(usual for usual, _ in edges), 4)
        limits["low"] = round(min(limit for _, limit in edges), 4)
    if side in ("high", "both"):
        edges = [_edge(column, 1 - share, settings["stretch"]) for column in columns]
        limits["usual_high"] = round(max(usual for usual, _ in edges), 4)
        limits["high"] = round(max(limit for _, limit in edges), 4)
    return {**kept, "limits": limits}


def _edge(column: Column, share: float, stretch: float) -> tuple[float, float]:
    """Where the usual ends, and the limit beyond it."""
    middle, usual = np.quantile(column, (0.5, share))
    return float(usual), float(middle + (usual - middle) * stretch)


def _columns(measured: Sequence[Mapping[str, float]]) -> dict[str, Column]:
    return {
        name: np.array([one[name] for one in measured]) for name in quality.MEASURES
    }


def _image(row: Row, roots: Sequence[Path]) -> Plane:
    return read_image(locate(row, roots))


def _narrowed(image: Plane) -> Plane:
    steep = np.clip((image - np.median(image)) * 3 + 0.5, 0, 1)
    return np.asarray(steep, np.float32)


def _blurred(image: Plane) -> Plane:
    sigma = max(_BLUR * image.shape[1], 0.5)
    side = 2 * round(3 * sigma) + 1
    plane = torch.from_numpy(np.ascontiguousarray(image))[None]
    soft = v2.gaussian_blur(plane, [side, side], [sigma, sigma])[0]
    return np.asarray(soft.clamp(0, 1).numpy(), np.float32)


def _covered(image: Plane) -> Plane:
    rows, columns = (round(length * _COVERED) for length in image.shape)
    covered = np.zeros_like(image)
    inner = (slice(rows, -rows or None), slice(columns, -columns or None))
    covered[inner] = image[inner]
    return covered
