"""A phantom head MR: drawn in two weightings, the same for the same seed.

A skull of fat and bone around a brain of grey and white matter with ventricles; on
request with a sphere that is bright in FLAIR and dark in T1. Signal has no unit: gain,
shading by the coil and noise differ from scan to scan. For tests and demonstrations; it
looks like no patient and teaches no network anything about one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np

from model.phantom_ct import Sphere, inside_ellipse

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Plane = NDArray[np.float32]

Weighting = Literal["T1", "FLAIR"]

_TISSUES = {  # relative signal: fat, bone, grey matter, white matter, fluid, lesion
    "T1": (1.0, 0.06, 0.45, 0.62, 0.16, 0.34),
    "FLAIR": (0.8, 0.06, 0.55, 0.44, 0.1, 1.0),
}
_FIELD_MM = 240.0
_NOISE = 0.025
_MOST = 4095


@dataclass(frozen=True)
class MRScan:
    """signal: uint16 (slices, rows, columns). pixel_mm: of the square pixels."""

    signal: NDArray[np.uint16]
    spacing_mm: float
    pixel_mm: float
    weighting: Weighting
    sphere: Sphere | None


def mr_scan(
    seed: int,
    *,
    lesion: bool,
    weighting: Weighting = "FLAIR",
    n_slices: int = 24,
    size: int = 64,
    spacing_mm: float = 6.0,
) -> MRScan:
    """One sequence of a phantom head, from the neck to the vertex.

    The same seed with another weighting is the same head, scanned again.
    """
    anatomy = np.random.default_rng([seed, lesion])
    scanner = np.random.default_rng([seed, get_args(Weighting).index(weighting), 9])
    pixel = _FIELD_MM / size
    axis = (np.arange(size, dtype=np.float32) - (size - 1) / 2) * np.float32(pixel)
    y, x = axis[:, None], axis[None, :]
    length = n_slices * spacing_mm
    radii = float(anatomy.uniform(66, 74)), float(anatomy.uniform(82, 92))
    sphere = _sphere(anatomy, length) if lesion else None
    shading = (
        1 + (scanner.uniform(-0.2, 0.2) * x + scanner.uniform(-0.2, 0.2) * y) / 120
    )
    planes = []
    for number in range(n_slices):
        z = number * spacing_mm
        plane = _slice(x, y, radii, z / length, _TISSUES[weighting])
        if sphere is not None:
            dz, dy, dx = sphere.centre
            inside = (x - dx) ** 2 + (y - dy) ** 2 + (z - dz) ** 2 < sphere.radius**2
            plane = np.where(inside, np.float32(_TISSUES[weighting][-1]), plane)
        planes.append(_measured(np.asarray(plane * shading, np.float32), scanner))
    gain = scanner.uniform(600, 2400)
    whole = np.clip(np.rint(np.stack(planes) * gain), 0, _MOST).astype(np.uint16)
    return MRScan(whole, spacing_mm, pixel, weighting, sphere)


def _measured(plane: Plane, scanner: np.random.Generator) -> Plane:
    """With the noise of a magnitude image (Gudbjartsson and Patz 1995)."""
    real, imaginary = scanner.normal(0, _NOISE, (2, *plane.shape))
    return np.asarray(np.hypot(plane + real, imaginary), np.float32)


def _sphere(anatomy: np.random.Generator, length_mm: float) -> Sphere:
    centre = (
        float(anatomy.uniform(0.35, 0.65) * length_mm),
        float(anatomy.uniform(-38, 38)),
        float(anatomy.choice([-1, 1]) * anatomy.uniform(26, 36)),
    )
    return Sphere(centre, float(anatomy.uniform(15, 21)))


def _slice(
    x: Plane,
    y: Plane,
    radii: tuple[float, float],
    height: float,
    tissues: tuple[float, ...],
) -> Plane:
    """height: 0 at the neck, 1 at the vertex. radii: of the head, across and along."""
    fat, bone, grey, white, fluid, _ = tissues
    swell = float(np.sin(np.pi * np.clip(0.2 + 0.75 * height, 0.2, 0.95))) ** 0.5
    wide, deep = radii[0] * swell, radii[1] * swell
    plane = np.zeros(np.broadcast_shapes(x.shape, y.shape), np.float32)
    for share, signal in ((1.0, fat), (0.93, bone), (0.86, grey), (0.72, white)):
        inside = inside_ellipse(x, y, (0, 0), (share * wide, share * deep))
        plane[inside] = signal
    for side in (-1, 1):
        ventricle = inside_ellipse(
            x, y, (side * 0.13 * wide, -0.05 * deep), (0.08 * wide, 0.25 * deep)
        )
        plane[ventricle] = fluid
    return plane
