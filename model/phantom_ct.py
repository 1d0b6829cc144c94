"""A phantom chest CT: drawn, in Hounsfield units, the same for the same seed.

A body of soft tissue with two lungs, a spine and a few vessels; on request with a
bright sphere in one lung. For tests, demonstrations and to show what a series bundle
is; it looks like no patient and teaches no network anything about one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Plane = NDArray[np.float32]

AIR, LUNG, TISSUE, BONE, LESION = -1000.0, -850.0, 40.0, 600.0, 420.0
_NOISE = 18.0
_FIELD_MM = 360.0


@dataclass(frozen=True)
class Sphere:
    """z, y, x of the centre and the radius, in mm from the first slice's centre."""

    centre: tuple[float, float, float]
    radius: float

    def slices(self, n_slices: int, spacing_mm: float) -> tuple[int, ...]:
        """Numbers (from 0) of the slices that cut it."""
        return tuple(
            number
            for number in range(n_slices)
            if abs(number * spacing_mm - self.centre[0]) < self.radius
        )


@dataclass(frozen=True)
class Scan:
    """hounsfield: int16 (slices, rows, columns). pixel_mm: of the square pixels."""

    hounsfield: NDArray[np.int16]
    spacing_mm: float
    pixel_mm: float
    sphere: Sphere | None


def scan(
    seed: int,
    *,
    lesion: bool,
    n_slices: int = 60,
    size: int = 128,
    spacing_mm: float = 5.0,
) -> Scan:
    """One phantom scan, from the feet to the head."""
    random = np.random.default_rng([seed, lesion])
    pixel = _FIELD_MM / size
    axis = (np.arange(size, dtype=np.float32) - (size - 1) / 2) * np.float32(pixel)
    y, x = axis[:, None], axis[None, :]
    wide, deep = random.uniform(135, 160), random.uniform(95, 115)
    sphere = _sphere(random, n_slices * spacing_mm) if lesion else None
    vessels = random.uniform(-1, 1, (10, 2)) * [70, 105]
    planes = []
    for number in range(n_slices):
        z = number * spacing_mm
        plane = _slice(x, y, (wide, deep), z / (n_slices * spacing_mm), vessels)
        if sphere is not None:
            dz, dy, dx = sphere.centre
            inside = (x - dx) ** 2 + (y - dy) ** 2 + (z - dz) ** 2 < sphere.radius**2
            plane = np.where(inside, np.float32(LESION), plane)
        planes.append(plane + random.normal(0, _NOISE, plane.shape))
    whole = np.clip(np.rint(np.stack(planes)), -1024, 3071).astype(np.int16)
    return Scan(whole, spacing_mm, pixel, sphere)


def _sphere(random: np.random.Generator, length_mm: float) -> Sphere:
    side = random.choice([-1, 1])
    centre = (
        float(random.uniform(0.25, 0.75) * length_mm),
        float(random.uniform(-30, 30)),
        float(side * random.uniform(50, 75)),
    )
    return Sphere(centre, float(random.uniform(22, 30)))


def _slice(
    x: Plane,
    y: Plane,
    body: tuple[float, float],
    height: float,
    vessels: NDArray[np.float64],
) -> Plane:
    """height: 0 at the feet's end, 1 at the head's."""
    wide, deep = body
    plane = np.full(np.broadcast_shapes(x.shape, y.shape), AIR, np.float32)
    plane[inside_ellipse(x, y, (0, 0), (wide, deep))] = TISSUE
    swell = np.sin(np.pi * np.clip(height, 0.05, 0.95)) ** 0.5
    for side in (-1, 1):
        lung = inside_ellipse(
            x, y, (side * 0.45 * wide, -5), (0.36 * wide * swell, 0.72 * deep * swell)
        )
        plane[lung] = LUNG
        for dy, dx in vessels:
            small = inside_ellipse(x, y, (dx, dy), (2.6, 2.6))
            plane[lung & small] = TISSUE
    plane[inside_ellipse(x, y, (0, 0.62 * deep), (17, 15))] = BONE
    return plane


def inside_ellipse(
    x: Plane, y: Plane, centre: tuple[float, float], radii: tuple[float, float]
) -> NDArray[np.bool_]:
    """Where a plane lies within an ellipse; all in mm."""
    along, across = (x - centre[0]) / radii[0], (y - centre[1]) / radii[1]
    return np.asarray(along**2 + across**2 < 1, bool)
