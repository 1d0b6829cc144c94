"""How the answer fares when the image is worse than usual, or meant to deceive.

The figures are printed, never promised. Someone who can change pixels in the PACS is in
the threat model of the node (TLS, AE titles, audit), not of the network: nothing here
defends against him, it says how little he would have to change.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from PIL import Image as Picture
from torchvision.transforms.v2 import functional as v2

from model import metrics
from model.data.files import locate, read_image
from model.evaluate.judge import Judge
from model.evaluate.scoring import AS_IS, score
from model.evaluate.tasks import tasks
from model.explain import Target

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray
    from torch import Tensor

    from model.bundle.serve import Bundle, Engine
    from model.data.manifest import Row
    from model.evaluate.tasks import Task
    from model.metrics import Figure

    Image = NDArray[np.float32]
    Change = Callable[[Image], Image]

STRENGTHS = (0.5, 1.0, 2.0, 4.0)  # grey levels of 255
_PGD_STEPS = 10
_BATCH = 16
_SEED = 1


@dataclass(frozen=True)
class Line:
    """AUROC, and the share judged rightly at the operating point, under one change."""

    label: str
    on: str
    change: str
    auroc: Figure
    accuracy: Figure


def robustness(
    bundle: Bundle,
    rows: Sequence[Row],
    roots: Sequence[Path],
    *,
    draws: int = 200,
) -> list[Line]:
    """Every label and source with enough images, under every change and attack."""
    engine = bundle.parts.engine
    scores = score(engine, roots, [(row, AS_IS) for row in rows])
    judge = Judge(bundle, draws)
    lines: list[Line] = []
    for task in tasks(judge, scores):
        images = [read_image(locate(row, roots)) for row in task.scores.rows]
        lines.append(_line(judge, task, "as it is", task.scores.logits))
        for name, change in changes().items():
            changed = [change(image) for image in images]
            lines.append(_line(judge, task, name, _logits(engine, changed)))
        for name, attacked in _attacks(engine, task, images):
            lines.append(_line(judge, task, name, _logits(engine, attacked)))
    return lines


def table(lines: Sequence[Line]) -> str:
    """For people, one line for each change."""
    head = f"{'label':<16}{'on':<14}{'change':<26}{'AUROC':<26}accuracy\n"
    body = [
        f"{one.label:<16}{one.on:<14}{one.change:<26}{one.auroc!s:<26}{one.accuracy}"
        for one in lines
    ]
    return head + "\n".join([*body, "Research use only. Measured, not promised."])


def changes() -> dict[str, Change]:
    """What happens to images without ill will; display pixels in and out."""
    random = np.random.default_rng(_SEED)
    return {
        "noise, deviation 0.02": lambda image: _noisy(image, 0.02, random),
        "noise, deviation 0.05": lambda image: _noisy(image, 0.05, random),
        "JPEG, quality 50": lambda image: _jpeg(image, 50),
        "JPEG, quality 20": lambda image: _jpeg(image, 20),
        "blur, 1 % of the width": lambda image: _blurred(image, 0.01),
        "contrast 0.6": lambda image: _contrast(image, 0.6),
        "contrast 1.5": lambda image: _contrast(image, 1.5),
        "white border of 1 pixel": _bordered,
    }


def _noisy(image: Image, deviation: float, random: np.random.Generator) -> Image:
    noise = random.normal(0, deviation, image.shape)
    return np.asarray(np.clip(image + noise, 0, 1), np.float32)


def _jpeg(image: Image, quality: int) -> Image:
    stream = io.BytesIO()
    eight_bit = np.rint(image * 255).astype(np.uint8)
    Picture.fromarray(eight_bit).save(stream, "JPEG", quality=quality)
    with Picture.open(stream) as decoded:
        return np.asarray(decoded, np.float32) / np.float32(255)


def _blurred(image: Image, share: float) -> Image:
    sigma = max(share * image.shape[1], 1e-3)
    side = 2 * round(3 * sigma) + 1
    if side > min(image.shape):
        return image
    plane = torch.from_numpy(np.ascontiguousarray(image))[None]
    blurred = v2.gaussian_blur(plane, [side, side], [sigma, sigma])[0]
    return np.asarray(blurred.clamp(0, 1).numpy(), np.float32)


def _contrast(image: Image, factor: float) -> Image:
    mean = float(image.mean())
    return np.asarray(np.clip((image - mean) * factor + mean, 0, 1), np.float32)


def _bordered(image: Image) -> Image:
    framed = image.copy()
    framed[[0, -1], :] = 1
    framed[:, [0, -1]] = 1
    return framed


def _attacks(
    engine: Engine, task: Task, images: Sequence[Image]
) -> Iterator[tuple[str, list[Image]]]:
    """FGSM and PGD by someone who knows the network, at the size it looks at."""
    target = Target(
        next(h for h in engine.network.layout if h.name == task.label.head),
        task.label.index,
    )
    small = [_resized(image, engine.preset.size) for image in images]
    for name, steps in (("FGSM", 1), ("PGD", _PGD_STEPS)):
        for strength in STRENGTHS:
            attacked = [
                attack(engine, target, image, Aim(bool(true), strength / 255, steps))
                for image, true in zip(small, task.positive, strict=True)
            ]
            yield f"{name}, {strength:g}/255", attacked


@dataclass(frozen=True)
class Aim:
    """positive: what is true, to be made to look false. most: largest change of any
    pixel, display pixels in [0, 1]. steps: 1 is FGSM, more is PGD.
    """

    positive: bool
    most: float
    steps: int = 1


def attack(engine: Engine, target: Target, image: Image, aim: Aim) -> Image:
    """The image changed by at most `aim.most` anywhere, against what is true.

    Goodfellow et al., ICLR 2015 (FGSM); Madry et al., ICLR 2018 (PGD, here without a
    random start, so that it repeats).
    """
    clean = torch.from_numpy(np.ascontiguousarray(image)).to(engine.device)
    seen = clean.clone()
    size = aim.most if aim.steps == 1 else 2.5 * aim.most / aim.steps
    away = -1.0 if aim.positive else 1.0
    for _ in range(aim.steps):
        seen = seen.detach().requires_grad_()
        canvas = engine.preset.of(seen)[None]
        value = target(engine.network, canvas)
        (gradient,) = torch.autograd.grad(value.sum(), seen)
        moved = seen.detach() + away * size * gradient.sign()
        seen = _within(moved, clean, aim.most)
    return np.asarray(seen.detach().cpu().numpy(), np.float32)


def _within(moved: Tensor, clean: Tensor, most: float) -> Tensor:
    return torch.minimum(torch.maximum(moved, clean - most), clean + most).clamp(0, 1)


def _resized(image: Image, size: int) -> Image:
    """To the size at which the preset no longer resamples."""
    scale = size / max(image.shape)
    shape = [max(1, min(size, round(side * scale))) for side in image.shape]
    plane = torch.from_numpy(np.ascontiguousarray(image))[None]
    small = v2.resize(plane, shape, antialias=True)[0].clamp(0, 1)
    return np.asarray(small.numpy(), np.float32)


def _logits(engine: Engine, images: Sequence[Image]) -> dict[str, NDArray[np.float64]]:
    found: dict[str, list[NDArray[np.float64]]] = {}
    for start in range(0, len(images), _BATCH):
        output = engine.run(images[start : start + _BATCH])
        for name, value in output.logits.items():
            found.setdefault(name, []).append(value.double().numpy())
    return {name: np.concatenate(parts) for name, parts in found.items()}


def _line(
    judge: Judge, task: Task, change: str, logits: dict[str, NDArray[np.float64]]
) -> Line:
    p = judge.of_logits(logits, task.label.head)[:, task.label.index]
    right = (p >= task.label.operating_point) == task.positive
    patients = task.scores.patients
    area = metrics.auroc_figure(p, task.positive, patients, draws=judge.draws)
    share = metrics.share_figure(right, patients, draws=judge.draws)
    return Line(task.label.name, task.on, change, area, share)
