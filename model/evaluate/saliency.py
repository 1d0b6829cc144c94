"""Can a map be believed? Tests of the map, not of the model.

Randomisation: a map that stays the same when the weights are replaced by noise, or when
the network was trained on shuffled labels, shows the image, not the model (Adebayo et
al., NeurIPS 2018). Deletion and
insertion: taking away what the map marks must lower the answer fast, giving it back
must raise it fast (Petsiuk et al., BMVC 2018). Pointing game and IoU: does it mark what
a person marked (Zhang et al., ECCV 2016)?
"""

from __future__ import annotations

import copy
import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from torch import nn
from torch.nn.functional import avg_pool2d, interpolate

from model import metrics

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from torch import Tensor

    from model.explain import Target
    from model.network import Classifier

    Method = Callable[[Classifier, Tensor, Target], Tensor]

_WINDOW = 7
_C1, _C2 = 0.01**2, 0.03**2
_BATCH = 16


class Step(NamedTuple):
    """After the named part and all above it are noise: likeness to the first map."""

    randomised: str
    spearman: float
    ssim: float


def cascade(
    network: Classifier,
    image: Tensor,
    target: Target,
    method: Method,
    *,
    seed: int = 1,
) -> list[Step]:
    """Randomise from the heads down to the first layer, a part at a time.

    image: (1, 1, N, N). method gives (N, N) or a coarser square. Likeness near 0 at
    the end is what a faithful map shows. The network given is not changed.
    """
    first = square(method(network, image, target), image.shape[-1])
    noisy = copy.deepcopy(network)
    steps = []
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for name, part in _from_the_top(noisy):
            if _randomise(part):
                found = square(method(noisy, image, target), image.shape[-1])
                steps.append(Step(name, spearman(first, found), ssim(first, found)))
    return steps


def likeness(
    network: Classifier,
    other: Classifier,
    image: Tensor,
    target: Target,
    method: Method,
) -> Step:
    """How like its map is to that of a network that was trained on shuffled labels.

    Such a network saw the same images and learned nothing of the question, so a map
    that is the same for both shows the images (Adebayo et al., section 4).
    """
    first, second = (
        square(method(one, image, target), image.shape[-1]) for one in (network, other)
    )
    return Step("labels", spearman(first, second), ssim(first, second))


def _from_the_top(network: Classifier) -> Iterator[tuple[str, nn.Module]]:
    yield "heads", network.heads
    for name, part in reversed(list(network.trunk.named_children())):
        yield f"trunk.{name}", part


def _randomise(part: nn.Module) -> bool:
    """Weights as at the start of training; False when the part has none."""
    layers = [layer for layer in part.modules() if hasattr(layer, "reset_parameters")]
    for layer in layers:
        layer.reset_parameters()  # type: ignore[operator]  # by hasattr
    return bool(layers)


def square(map_: Tensor, side: int) -> Tensor:
    """(n, n) or (1, n, n) -> (side, side), in [0, 1] by its range."""
    plane = map_.detach().float().cpu().reshape(1, 1, *map_.shape[-2:])
    shape = (side, side)
    large = interpolate(plane, size=shape, mode="bilinear", align_corners=False)[0, 0]
    low, high = large.min(), large.max()
    return (large - low) / (high - low).clamp(min=1e-12)


def spearman(first: Tensor, second: Tensor) -> float:
    """Rank correlation of two maps; 0 where one is the same everywhere."""
    ranks = [
        metrics.midranks(one.flatten().double().numpy()) for one in (first, second)
    ]
    if min(rank.std() for rank in ranks) == 0:
        return 0.0
    return float(np.corrcoef(ranks[0], ranks[1])[0, 1])


def ssim(first: Tensor, second: Tensor) -> float:
    """Structural similarity of two maps in [0, 1] (Wang et al. 2004), mean over
    windows of 7 x 7 pixels of equal weight.
    """
    x, y = first[None, None].double(), second[None, None].double()

    def mean(plane: Tensor) -> Tensor:
        return avg_pool2d(plane, _WINDOW, stride=1)

    n = _WINDOW**2
    mean_x, mean_y = mean(x), mean(y)
    unbiased = n / (n - 1)
    var_x = (mean(x * x) - mean_x**2) * unbiased
    var_y = (mean(y * y) - mean_y**2) * unbiased
    both = (mean(x * y) - mean_x * mean_y) * unbiased
    above = (2 * mean_x * mean_y + _C1) * (2 * both + _C2)
    below = (mean_x**2 + mean_y**2 + _C1) * (var_x + var_y + _C2)
    return float((above / below).mean())


class Faithfulness(NamedTuple):
    """Mean probability while pixels go (low is good) and come (high is good)."""

    deletion: float
    insertion: float


def faithfulness(
    network: Classifier,
    image: Tensor,
    target: Target,
    map_: Tensor,
    *,
    steps: int = 32,
) -> Faithfulness:
    """Areas under the deletion and insertion curves of one map.

    Pixels go and come in the order of the map, most marked first, to and from 0, which
    is the image's own mean.
    """
    side = image.shape[-1]
    order = square(map_, side).flatten().argsort(descending=True, stable=True)
    cuts = [round(k * side * side / steps) for k in range(steps + 1)]
    gone = torch.ones(steps + 1, side * side)
    for step, cut in enumerate(cuts):
        gone[step, order[:cut]] = 0
    gone = gone.reshape(-1, 1, side, side)
    return Faithfulness(
        _area(network, target, image * gone), _area(network, target, image * (1 - gone))
    )


def _area(network: Classifier, target: Target, images: Tensor) -> float:
    parts = [target.probability(network, part) for part in torch.split(images, _BATCH)]
    curve = torch.cat(parts).double().cpu().numpy()
    return float(np.trapezoid(curve, dx=1 / (len(curve) - 1)))


class Box(NamedTuple):
    """In pixels of the map: left, top, width, height."""

    x: float
    y: float
    width: float
    height: float


def points_into(map_: Tensor, boxes: Sequence[Box]) -> bool:
    """Whether the map's largest value (the first, of several) lies in one of the boxes.

    map_: (rows, columns), in the geometry of the boxes. False for a flat map: it
    points nowhere.
    """
    if float(map_.max()) == float(map_.min()):
        return False
    y, x = divmod(int(map_.argmax()), map_.shape[1])
    return any(
        box.x <= x < box.x + box.width and box.y <= y < box.y + box.height
        for box in boxes
    )


def overlap(map_: Tensor, boxes: Sequence[Box], share: float = 0.5) -> float:
    """Intersection over union of the boxes and where the map exceeds a share of its
    largest value; NaN without boxes.
    """
    if not boxes:
        return math.nan
    marked = torch.zeros(map_.shape, dtype=torch.bool)
    for box in boxes:
        rows = slice(math.floor(box.y), math.ceil(box.y + box.height))
        columns = slice(math.floor(box.x), math.ceil(box.x + box.width))
        marked[rows, columns] = True
    hot = map_ > share * map_.max()
    either = int((hot | marked).sum())
    return int((hot & marked).sum()) / either if either else 0.0
