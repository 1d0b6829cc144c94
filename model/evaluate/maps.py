"""`python -m model explain`: maps of one image in the geometry of the image."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from torch.nn.functional import interpolate

from model import explain
from model.bundle.errors import BundleError
from model.evaluate import pointing, saliency
from model.explain import Target

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from numpy.typing import NDArray
    from torch import Tensor

    from model.bundle.description import Label
    from model.bundle.serve import Bundle
    from model.data.boxes import Marked
    from model.network import Classifier

    Pixels = NDArray[np.float32]

NOTICE = "Research use only. A map shows where the answer comes from, never why."
_STRONGEST = 0.55


def _cam(network: Classifier, image: Tensor, target: Target) -> Tensor:
    with torch.inference_mode():
        features = network(image).features[0]
        weight: Any = network.heads[target.head.name].weight
        direction = explain.direction(target.head, weight, target.index)
        return explain.class_activation(features, direction)[None].clone()


def _covered(network: Classifier, image: Tensor, target: Target) -> Tensor:
    side = image.shape[-1]
    window = max(1, side // 8)
    stride = max(1, window // 2)
    return explain.occlusion(network, image, target, window=window, stride=stride)


METHODS: dict[str, Callable[[Classifier, Tensor, Target], Tensor]] = {
    "cam": _cam,
    "grad-cam": explain.grad_cam,
    "grad-cam-plus-plus": explain.grad_cam_plus_plus,
    "hires-cam": explain.hires_cam,
    "integrated-gradients": explain.integrated_gradients,
    "occlusion": _covered,
}


@dataclass(frozen=True)
class Against:
    """What maps are held against. shuffled: the same network, trained on shuffled
    labels. marked: boxes that people drew on the image, for maps of their labels.
    """

    shuffled: Classifier | None = None
    marked: Sequence[Marked] = ()


def write(
    bundle: Bundle,
    image: Pixels,
    out: Path,
    *,
    labels: Sequence[str] = (),
    methods: Sequence[str] = (),
    against: Against | None = None,
) -> list[Path]:
    """One map and one overlay per label and method, and `explain.json`.

    image: display pixels (rows, columns); every PNG has its rows and columns. A map's
    grey is its value (negative as 0) by the largest one. labels, methods: all when none
    is named. Raises BundleError for an unknown name, or when the network to compare
    with has other heads.
    """
    against = against or Against()
    shuffled = against.shuffled
    chosen = _chosen(bundle, labels)
    if shuffled and shuffled.layout != bundle.parts.engine.network.layout:
        raise BundleError(
            "the run with shuffled labels has other heads: train it by the recipe of"
            " this bundle"
        )
    for method in methods:
        if method not in METHODS:
            raise BundleError(f"method {method} is unknown: use {', '.join(METHODS)}")
    out.mkdir(parents=True, exist_ok=True)
    written, facts = [], []
    for label in chosen:
        for method in methods or METHODS:
            map_, fact = _explained(bundle, image, label, method, shuffled)
            facts.append(fact | pointing.fact(map_, label.name, against.marked))
            written += _put(out / f"{label.name}.{method}.png", image, map_)
    page = out / "explain.json"
    said = {"notice": NOTICE, "bundle": bundle.description.name, "maps": facts}
    page.write_text(json.dumps(said, indent=1) + "\n", encoding="utf-8")
    return [*written, page]


def _chosen(bundle: Bundle, names: Sequence[str]) -> list[Label]:
    known = {label.name: label for label in bundle.description.labels}
    for name in names:
        if name not in known:
            raise BundleError(f"label {name} is unknown: use {', '.join(known)}")
    return [known[name] for name in names or known]


def _explained(
    bundle: Bundle,
    image: Pixels,
    label: Label,
    method: str,
    shuffled: Classifier | None,
) -> tuple[Pixels, dict[str, Any]]:
    """The map over the source image, and what its tests say."""
    engine = bundle.parts.engine
    network, how = engine.network, METHODS[method]
    target = Target(
        next(h for h in network.layout if h.name == label.head), label.index
    )
    seen = engine.preset(image)[None].to(engine.device)
    plane = how(network, seen, target).detach().cpu()
    faith = saliency.faithfulness(network, seen, target, plane)
    last = saliency.cascade(network, seen, target, how)[-1]
    map_ = _in_source(bundle, plane.reshape(plane.shape[-2:]), image)
    fact = {
        "label": label.name,
        "method": method,
        "probability": float(target.probability(network, seen)[0]),
        "deletion": faith.deletion,
        "insertion": faith.insertion,
        "likeness to the map of a random network": _likeness(last),
    }
    if shuffled:
        other = saliency.likeness(network, shuffled, seen, target, how)
        fact["likeness to the map of shuffled labels"] = _likeness(other)
    return map_, fact


def _likeness(step: saliency.Step) -> dict[str, float]:
    return {"spearman": step.spearman, "ssim": step.ssim}


def _in_source(bundle: Bundle, plane: Tensor, image: Pixels) -> Pixels:
    """Canvas map -> (rows, columns) of the image, in [0, 1]."""
    preset = bundle.parts.engine.preset
    inside = torch.from_numpy(preset.to_source(plane, preset.box(image)))
    full = interpolate(
        inside[None, None], size=image.shape, mode="bilinear", align_corners=False
    )[0, 0].clamp(min=0)
    return np.asarray((full / full.max().clamp(min=1e-12)).numpy(), np.float32)


def _put(path: Path, image: Pixels, map_: Pixels) -> list[Path]:
    words = PngInfo()
    words.add_text("Description", NOTICE)
    Image.fromarray(_eight_bit(map_)).save(path, pnginfo=words)
    over = path.with_suffix(".overlay.png")
    Image.fromarray(_eight_bit(_overlaid(image, map_))).save(over, pnginfo=words)
    return [path, over]


def _overlaid(image: Pixels, map_: Pixels) -> NDArray[np.float32]:
    """(rows, columns, 3): the image, warmer where the map is stronger."""
    warm = np.stack(
        [np.ones_like(map_), 0.85 - 0.6 * map_, 0.1 * np.ones_like(map_)], 2
    )
    strength = (_STRONGEST * map_)[..., None]
    mixed = (1 - strength) * image[..., None] + strength * warm
    return np.asarray(mixed, np.float32)


def _eight_bit(pixels: NDArray[np.float32]) -> NDArray[np.uint8]:
    return np.rint(np.clip(pixels, 0, 1) * 255).astype(np.uint8)
