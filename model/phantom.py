"""Procedural phantom chest radiographs: free of patients and of licences.

The picture is built as a radiograph is: path lengths of soft tissue, lung and bone
are added up, the sum is shown through a film-like curve, then blurred, veiled by
scatter and made noisy. Lengths are fractions of the image height, `x` runs to the
right from the midline (so the patient's left is at positive x), `y` runs downwards.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Plane = NDArray[np.float32]

View = Literal["PA", "AP"]
_SIDES = (-1.0, 1.0)
_MAXIMUM_12_BIT = 4095
_RIB_TURN = 0.61  # share of a ring that is its posterior arc


@dataclass(frozen=True)
class Anatomy:
    """What differs from one phantom to the next, drawn once from the seed."""

    lung_half_width: float
    apex_y: float
    dome_y: float
    heart_half_width: float
    heart_y: float
    clavicle_y: float
    clavicle_rise: float
    scapula_x: float
    rib_drop: float
    fat: float
    lean: float
    gamma: float
    noise: float
    blur: float

    @classmethod
    def draw(cls, random: np.random.Generator, view: View) -> Anatomy:
        """Anatomy for one projection.

        AP films are made with the tube near and the patient lying or sitting: the
        heart is magnified, the scapulae lie over the lungs, the clavicles are high
        and flat and the inspiration is shallow.
        """
        ap = view == "AP"
        return cls(
            lung_half_width=random.uniform(0.285, 0.34),
            apex_y=random.uniform(0.11, 0.15) + (0.05 if ap else 0.0),
            dome_y=random.uniform(0.685, 0.755) - (0.085 if ap else 0.0),
            heart_half_width=random.uniform(0.125, 0.155) * (1.36 if ap else 1.0),
            heart_y=random.uniform(0.575, 0.605) - (0.05 if ap else 0.0),
            clavicle_y=random.uniform(0.125, 0.155)
            if ap
            else random.uniform(0.185, 0.215),
            clavicle_rise=random.uniform(-0.005, 0.015)
            if ap
            else random.uniform(0.055, 0.085),
            scapula_x=random.uniform(0.205, 0.235)
            if ap
            else random.uniform(0.36, 0.385),
            rib_drop=random.uniform(0.17, 0.215),
            fat=random.uniform(0.85, 1.15),
            lean=random.uniform(-0.03, 0.03),
            gamma=random.uniform(0.85, 1.2),
            noise=random.uniform(0.006, 0.016) * (1.4 if ap else 1.0),
            blur=random.uniform(0.0007, 0.0013),
        )


class _Canvas:
    """The pixel grid in anatomical lengths, and the few shapes drawn on it."""

    def __init__(self, rows: int, columns: int, lean: float) -> None:
        pixel = 1.0 / rows
        self.pixel = pixel
        self.y = ((np.arange(rows, dtype=np.float32) + 0.5) * pixel)[:, None]
        x = (np.arange(columns, dtype=np.float32) + 0.5 - columns / 2) * pixel
        self.x: Plane = (x[None, :] + lean * (self.y - 0.5)).astype(np.float32)
        self._lean = lean
        self._left = columns * pixel / 2
        self.shape = (rows, columns)

    def inside(self, distance: Plane, softness: float) -> Plane:
        """1 where distance > 0, 0 outside, with an edge of the given softness."""
        ramp = np.clip(distance / softness, -1.0, 1.0)
        return np.asarray(0.5 + 0.75 * ramp - 0.25 * ramp**3, np.float32)

    def ellipse(
        self,
        centre: tuple[float, float],
        radii: tuple[float, float],
        angle: float = 0.0,
    ) -> Plane:
        """Signed distance-like value: positive inside, in units of height."""
        dx, dy = self.x - centre[0], self.y - centre[1]
        along = dx * np.cos(angle) + dy * np.sin(angle)
        across = dy * np.cos(angle) - dx * np.sin(angle)
        radius = np.sqrt((along / radii[0]) ** 2 + (across / radii[1]) ** 2)
        return np.asarray((1.0 - radius) * min(radii), np.float32)

    def distance(self, path: Plane, radius: Plane) -> Plane:
        """Distance to a path of (x, y) points, in local tube radii, at most 2."""
        field = np.full(self.shape, 2.0, np.float32)
        for (x, y), r in zip(path, radius, strict=True):
            window = self._window(x, y, 1.6 * r)
            dx, dy = self.x[window] - x, self.y[window[0]] - y
            near = np.sqrt(dx * dx + dy * dy) / r
            np.minimum(field[window], near, out=field[window])
        return field

    def _window(self, x: float, y: float, reach: float) -> tuple[slice, slice]:
        centre = x - self._lean * (y - 0.5) + self._left
        margin = reach + abs(self._lean) * reach
        return (_span(y, reach, self.pixel), _span(centre, margin, self.pixel))


def chest(
    seed: int, *, view: View, rows: int = 1024, columns: int = 896
) -> NDArray[np.uint16]:
    """One phantom chest radiograph.

    Returns uint16 (rows, columns), 12 bits stored, MONOCHROME2 sense: bone is
    bright. The same arguments give the same pixels. Raises ValueError for a view
    other than PA or AP and for fewer than 64 rows or columns.
    """
    if view not in ("PA", "AP"):
        raise ValueError(f"view {view!r} is unknown: use 'PA' or 'AP'")
    if min(rows, columns) < 64:  # noqa: PLR2004 - below this nothing is recognisable
        raise ValueError(
            "a phantom needs at least 64 rows and 64 columns: ask for more"
        )
    random = np.random.default_rng([seed, view == "AP"])
    body = Anatomy.draw(random, view)
    canvas = _Canvas(rows, columns, body.lean)
    heart = _heart(canvas, body)
    attenuation = _soft_tissue(canvas, body)
    attenuation += _bones(canvas, body, random) * np.clip(3 * attenuation, 0, 1)
    attenuation += 0.22 * heart - _lungs(canvas, body, random) * (1 - heart)
    return _film(attenuation, body, random)


def _span(centre: float, reach: float, pixel: float) -> slice:
    return slice(
        max(0, int((centre - reach) / pixel)), max(0, int((centre + reach) / pixel) + 2)
    )


def _soft_tissue(canvas: _Canvas, body: Anatomy) -> Plane:
    """Trunk, neck, shoulders and upper arms; air outside them."""
    x, y = np.abs(canvas.x), canvas.y
    top = min(body.apex_y, body.clavicle_y) - 0.035
    shoulder = 0.105 + 0.36 / (1 + np.exp(-(y - top) / 0.022))
    wall = body.lung_half_width + 0.05 * body.fat + 0.05 * np.clip(y - 0.5, 0, 1)
    axilla = 1 / (1 + np.exp(-(y - 0.44) / 0.035))
    edge = np.minimum(shoulder, shoulder * (1 - axilla) + (wall + 0.02) * axilla)
    trunk = canvas.inside(edge - x, 0.012)
    depth = np.sqrt(np.clip(1 - (x / (wall + 0.13)) ** 2, 0.12, 1))
    arm = canvas.ellipse((0.0, 0.0), (1.0, 1.0)) * 0
    for side in _SIDES:
        centre = side * (0.45 + 0.03 * body.fat)
        arm = np.maximum(
            arm,
            canvas.inside(
                canvas.ellipse((centre, 0.55), (0.065, 0.42), -side * 0.10), 0.02
            ),
        )
    abdomen = 0.45 * canvas.inside(y - body.dome_y - 0.02 + 0 * x, 0.12)
    thick = body.fat * (0.62 + 0.30 * depth + abdomen)
    return np.asarray(np.maximum(trunk * thick, 0.55 * arm), np.float32)


def _lung_field(canvas: _Canvas, body: Anatomy, side: float) -> Plane:
    """Air of one lung: 0 outside, about 1 where the lung is deepest."""
    s, y = canvas.x * side, canvas.y
    left = side > 0
    widest = 0.56
    upper = np.clip((widest - y) / (widest - body.apex_y), 0, 1)
    lateral = body.lung_half_width * np.sqrt(np.clip(1 - upper**2.3, 0, 1))
    medial = 0.040 + 0.012 * np.sin(6 * y)
    dome = body.dome_y + (0.02 if left else 0.0)
    out = np.clip((s - 0.15) / (body.lung_half_width - 0.15), 0, 1.2)
    inward = np.clip((0.15 - s) / 0.15, 0, 1)
    diaphragm = dome + 0.085 * out**2.2 + 0.03 * inward**2
    air = canvas.inside(lateral - s, 0.012) * canvas.inside(s - medial, 0.02)
    air *= canvas.inside(diaphragm - y, 0.008)
    middle = (s - 0.5 * (medial + lateral)) / (0.5 * np.clip(lateral, 0.05, 1))
    return np.asarray(
        air * (0.72 + 0.28 * np.sqrt(np.clip(1 - middle**2, 0, 1))), np.float32
    )


def _lungs(canvas: _Canvas, body: Anatomy, random: np.random.Generator) -> Plane:
    """Everything that lets radiation pass: lungs less vessels, trachea, stomach."""
    fields = [_lung_field(canvas, body, side) for side in _SIDES]
    air = 0.60 * (fields[0] + fields[1])
    markings = sum(_vessels(canvas, body, side, random) for side in _SIDES)
    air = air - 0.16 * np.clip(markings, 0, 1.6) * (fields[0] + fields[1])
    trachea = np.abs(canvas.x - 0.006) - 0.017
    windpipe = canvas.inside(-trachea, 0.008) * canvas.inside(0.33 - canvas.y, 0.03)
    bubble = canvas.ellipse((0.15, body.dome_y + 0.075), (0.065, 0.028), 0.1)
    return np.asarray(
        air + 0.16 * windpipe + 0.22 * canvas.inside(bubble, 0.012), np.float32
    )


def _vessels(
    canvas: _Canvas, body: Anatomy, side: float, random: np.random.Generator
) -> Plane:
    """Hilum and vessels branching outwards from it, thinner as they go."""
    root = np.array([side * 0.075, 0.44 + (0.0 if side > 0 else 0.02)])
    total = np.zeros(canvas.shape, np.float32)
    for angle in np.linspace(-1.2, 1.4, 11) + random.normal(0, 0.16, 11):
        reach = random.uniform(0.5, 0.8) * body.lung_half_width
        for fork in (0.0, *random.uniform(-0.45, 0.45, 2)):
            path = _branch(root, (side * reach, angle), fork)
            radius = np.linspace(0.0090, 0.0016, len(path), dtype=np.float32)
            tube = np.sqrt(np.clip(1 - canvas.distance(path, radius) ** 2, 0, 1))
            total = np.maximum(total, tube * np.float32(0.9))
    hilum = canvas.ellipse((root[0], root[1]), (0.028, 0.055))
    return np.asarray(total + 1.1 * canvas.inside(hilum, 0.03), np.float32)


def _branch(
    root: NDArray[np.float64], heading: tuple[float, float], fork: float
) -> Plane:
    reach, angle = heading
    t = np.linspace(0, 1, 60)
    bend = angle + fork * np.clip(t - 0.35, 0, 1)
    x = root[0] + reach * t * np.cos(bend)
    y = root[1] + abs(reach) * t * np.sin(bend) * 1.25
    return np.stack([x, y], axis=1).astype(np.float32)


def _heart(canvas: _Canvas, body: Anatomy) -> Plane:
    """Heart, aortic knob and mediastinum; the apex points to positive x."""
    w = body.heart_half_width
    base = body.dome_y - 0.115
    ventricle = canvas.ellipse(
        (0.30 * w, base + 0.01), (1.14 * w, 0.60 * w + 0.03), 0.62
    )
    atrium = canvas.ellipse((-0.12 * w, base - 0.005), (0.60 * w, 0.125))
    knob = canvas.ellipse((0.038, body.apex_y + 0.20), (0.036, 0.036))
    vessel = canvas.ellipse((0.022, body.apex_y + 0.30), (0.052, 0.13))
    shadow = 0.94 * canvas.inside(np.maximum(ventricle, atrium), 0.014)
    shadow = np.maximum(shadow, 0.62 * canvas.inside(knob, 0.010))
    shadow = np.maximum(shadow, 0.70 * canvas.inside(vessel, 0.014))
    above = canvas.inside(body.dome_y + 0.05 - canvas.y + 0 * canvas.x, 0.05)
    return np.asarray(shadow * above, np.float32)


def _bones(canvas: _Canvas, body: Anatomy, random: np.random.Generator) -> Plane:
    bone = _spine(canvas, random) + _ribs(canvas, body, random)
    for side in _SIDES:
        bone += _clavicle(canvas, body, side)
        bone += _scapula(canvas, body, side)
        bone += _humerus(canvas, body, side)
    return bone


def _tube(canvas: _Canvas, path: Plane, radius: Plane) -> Plane:
    """A hollow bone seen from the side: cortex bright at the edges."""
    d = canvas.distance(path, radius)
    solid = np.sqrt(np.clip(1 - d * d, 0, 1))
    marrow = np.sqrt(np.clip(0.68 - d * d, 0, 1))
    return np.asarray(solid - 0.62 * marrow, np.float32)


def _ribs(canvas: _Canvas, body: Anatomy, random: np.random.Generator) -> Plane:
    """Ten pairs of rings tilted forwards: posterior arc, turn, anterior arc."""
    total = np.zeros(canvas.shape, np.float32)
    pitch = (body.dome_y - body.apex_y + 0.06) / 9.6
    for number in range(10):
        depth = 1 - 0.05 * number  # the lower ribs lie under more tissue
        for side in _SIDES:
            shift = [0, random.normal(0, 0.003)]
            path = (_rib(body, number, pitch) * [side, 1] + shift).astype(np.float32)
            turn = round(_RIB_TURN * len(path))
            posterior = _tube(canvas, path[: turn + 2], _thickness(0.0105, turn + 2))
            anterior = _tube(canvas, path[turn:], _thickness(0.0125, len(path) - turn))
            total += depth * (0.33 * posterior + 0.25 * anterior)
    return total


def _thickness(radius: float, n: int) -> Plane:
    return np.full(n, radius, np.float32)


def _rib(body: Anatomy, number: int, pitch: float) -> Plane:
    """One ring from the spine (t = 0) round the side to the cartilage."""
    t = np.linspace(0.05, 2.55 if number < 7 else 1.75, 130)  # noqa: PLR2004
    start = body.apex_y - 0.015 + pitch * number
    upper = np.clip((0.60 - start) / (0.60 - body.apex_y + 0.03), 0, 1)
    width = (body.lung_half_width + 0.012) * np.sqrt(1 - 0.82 * upper**2.6)
    drop = body.rib_drop * (0.45 + 0.06 * number)
    x = 0.022 + (width - 0.022) * np.sin(t) ** 0.8
    hump = 0.016 * np.sin(2 * t) * (t < np.pi / 2)
    y = start - hump + 0.92 * drop * (1 - np.cos(t))
    return np.stack([x, y], axis=1)


def _spine(canvas: _Canvas, random: np.random.Generator) -> Plane:
    """Vertebral bodies with end plates, discs, pedicles and spinous processes."""
    x, y = canvas.x, canvas.y
    height = random.uniform(0.052, 0.060)
    phase = (y / height + random.uniform(0, 1)) % 1.0
    half = 0.026 + 0.012 * y
    column = canvas.inside(half - np.abs(x), 0.004)
    plate = np.exp(-(((phase - 0.5) / 0.42) ** 16))
    rim = np.exp(-(((np.abs(phase - 0.5) - 0.40) / 0.05) ** 2))
    edge = np.exp(-(((np.abs(x) - half + 0.004) / 0.004) ** 2))
    pedicle = np.exp(
        -(((np.abs(x) - 0.62 * half) / 0.006) ** 2) - ((phase - 0.36) / 0.13) ** 2
    )
    process = np.exp(-((x / 0.005) ** 2) - ((phase - 0.62) / 0.17) ** 2)
    texture = 0.17 * plate + 0.05 * rim + 0.05 * edge + 0.07 * pedicle + 0.09 * process
    return np.asarray(0.55 * column * (0.14 + texture), np.float32)


def _clavicle(canvas: _Canvas, body: Anatomy, side: float) -> Plane:
    t = np.linspace(0, 1, 110)
    x = side * (0.030 + t * 0.315)
    wave = 0.016 * np.sin(2 * np.pi * t)
    y = body.clavicle_y + 0.03 - body.clavicle_rise * t + wave - 0.03 * np.sin(2 * t)
    radius = 0.0135 + 0.006 * np.abs(t - 0.45)
    return np.float32(0.24) * _tube(
        canvas, np.stack([x, y], axis=1).astype(np.float32), radius.astype(np.float32)
    )


def _scapula(canvas: _Canvas, body: Anatomy, side: float) -> Plane:
    """Blade with a bright medial border, spine of the scapula and glenoid."""
    s, y = canvas.x * side, canvas.y
    top, bottom = body.clavicle_y + 0.025, body.clavicle_y + 0.30
    down = np.clip((y - top) / (bottom - top), 0, 1)
    medial = body.scapula_x + 0.035 * down
    lateral = body.scapula_x + 0.15 - 0.105 * down
    level = canvas.inside(y - top + 0 * s, 0.02) * canvas.inside(
        bottom - y + 0 * s, 0.02
    )
    blade = canvas.inside(s - medial, 0.006) * canvas.inside(lateral - s, 0.006) * level
    border = np.exp(-(((s - medial) / 0.005) ** 2)) + np.exp(
        -(((s - lateral) / 0.006) ** 2)
    )
    crest = np.exp(-(((y - top - 0.035 + 0.28 * (s - body.scapula_x)) / 0.009) ** 2))
    return np.asarray(
        blade * (0.10 + 0.07 * crest) + 0.09 * border * level * blade, np.float32
    )


def _humerus(canvas: _Canvas, body: Anatomy, side: float) -> Plane:
    t = np.linspace(0, 1, 90)
    x = side * (0.405 + 0.055 * t)
    y = body.clavicle_y + 0.065 + 0.36 * t
    radius = 0.020 + 0.022 * np.exp(-((t / 0.12) ** 2))
    return np.float32(0.30) * _tube(
        canvas, np.stack([x, y], axis=1).astype(np.float32), radius.astype(np.float32)
    )


def _film(
    attenuation: Plane, body: Anatomy, random: np.random.Generator
) -> NDArray[np.uint16]:
    """Scatter, blur, quantum noise and the film curve; 12 bits."""
    rows = attenuation.shape[0]
    primary = 0.80 * attenuation + 0.20 * _gaussian(attenuation, 0.05 * rows)
    primary = _gaussian(primary, body.blur * rows)
    lumps = _gaussian(random.standard_normal(primary.shape).astype(np.float32), 6.0)
    grain = 3.0 * lumps + _gaussian(
        random.standard_normal(primary.shape).astype(np.float32), 0.6
    )
    primary = primary + body.noise * 2.0 * grain * (0.4 + np.clip(primary, 0, 2))
    low, high = np.percentile(primary, (4, 99.7))
    shown = np.clip((primary - low) / (high - low), 0, 1.15)
    curve = 1 / (1 + np.exp(-(shown - 0.42) * 4.4))
    curve = (curve - curve.min()) / (curve.max() - curve.min())
    return np.asarray(np.rint(curve**body.gamma * _MAXIMUM_12_BIT), np.uint16)


def _gaussian(plane: Plane, sigma: float) -> Plane:
    """Gaussian blur through the Fourier plane, edges repeated."""
    margin = min(int(4 * sigma) + 1, min(plane.shape) - 1)
    padded = np.pad(plane, margin, mode="edge")
    fy = np.fft.fftfreq(padded.shape[0])[:, None]
    fx = np.fft.rfftfreq(padded.shape[1])[None, :]
    transfer = np.exp(-2 * (np.pi * sigma) ** 2 * (fy**2 + fx**2))
    blurred = np.fft.irfft2(np.fft.rfft2(padded) * transfer, s=padded.shape)
    inner = slice(margin, -margin)
    return np.asarray(blurred[inner, inner], np.float32)
