"""A verified bundle at work: images in, calibrated probabilities and maps out."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from model import explain
from model.bundle import addendum as addenda
from model.bundle import checks
from model.bundle.arithmetic import Arithmetic
from model.bundle.description import WEIGHTS_FILE, Description, read_bundle
from model.bundle.domain import Domain
from model.bundle.engine import Engine, Prepared
from model.bundle.errors import BundleError, NonFinite
from model.bundle.gpu import prepared_for
from model.bundle.parts import Inferred, Parts
from model.bundle.prediction import Prediction, SeriesPrediction
from model.bundle.volume import summed_up
from model.bundle.weights import read_tensors
from model.network import Output, build, head_of
from model.preparation import STATISTICS, letterbox_box
from model.transforms import EvalPreset

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray
    from torch import Tensor

    from model.bundle.description import Label
    from model.network import Head
    from model.preparation import Preparation

__all__ = ["DOMAIN", "MODEL", "TEST", "Bundle", "Engine", "Parts", "heads_of", "load"]

MODEL, DOMAIN, TEST = "model.", "domain.", checks.TEST


class Bundle:
    """One loaded model. Safe to call from one thread at a time.

    arithmetic: how its network runs, as packed unless `running.accelerated` made it.
    """

    def __init__(
        self,
        description: Description,
        parts: Parts,
        arithmetic: Arithmetic | None = None,
    ) -> None:
        self.description = description
        self.arithmetic = arithmetic or Arithmetic()
        self._parts = parts
        self._heads = {head.name: head for head in parts.engine.network.layout}
        found = [self._direction(label) for label in description.labels]
        none = torch.zeros(0, parts.engine.network.width)
        self._directions = (torch.stack(found) if found else none).to(
            parts.engine.device
        )

    @property
    def parts(self) -> Parts:
        """Engine, calibration and domain, for evaluation."""
        return self._parts

    def predict(self, images: Sequence[NDArray[np.float32]]) -> list[Prediction]:
        """One prediction per image, in order, from one forward pass.

        images: display pixels, float32 (rows, columns) in [0, 1], of any sizes.
        Raises BundleError for other input and NonFinite when the network's output is
        not a number.
        """
        return self.run([self.prepare(image) for image in images])

    def prepare(self, image: NDArray[np.float32]) -> Prepared:
        """What the network needs of an image, which may be forgotten after this.

        May run in another thread than `run`. Raises BundleError.
        """
        series = self.description.input.series
        checks.image(image, 1 if series is None else series.channels)
        return self._parts.engine.prepare(image)

    @property
    def preparation(self) -> Preparation:
        """What makes the canvas of display pixels, also where there is no torch."""
        return self._parts.engine.preset.preparation

    def prepared(
        self, canvas: NDArray[np.float32], grey: Sequence[float], shape: Sequence[int]
    ) -> Prepared:
        """As `prepare`, of an image that another process has prepared.

        canvas: of its ``preparation``, (channels, N, N); it is kept, not copied. grey:
        its `model.preparation.statistics`. shape: of the display pixels. Raises
        BundleError for what is none.
        """
        if not (len(grey) == len(STATISTICS) and np.isfinite([*grey]).all()):
            raise BundleError("an image without its statistics: send it again")
        rows, columns = shape
        box = letterbox_box(rows, columns, self.preparation.size)
        return Prepared(torch.from_numpy(canvas), list(grey), box)

    def run(self, images: Sequence[Prepared]) -> list[Prediction]:
        """One prediction per image, in order, from one forward pass.

        Raises NonFinite when the network's output is not a number.
        """
        return [self.finish(one) for one in self.infer(images)]

    def infer(self, images: Sequence[Prepared]) -> list[Inferred]:
        """What only the network can do, for a batch; as `run` raises NonFinite."""
        if not images:
            return []
        output, vectors = self._forward(images)
        judged = self._parts.domain.judge(vectors)
        return [
            Inferred(
                {name: found[index] for name, found in output.logits.items()},
                output.features[index],  # by now one plane for each label
                judged[index],
                image,
            )
            for index, image in enumerate(images)
        ]

    def _forward(self, images: Sequence[Prepared]) -> tuple[Output, Tensor]:
        """Output with the planes of the labels, and what the domain gate measures."""
        engine = self._parts.engine
        # Half precision may overflow where float32 does not.
        exact = (replace(engine, runner=None),) if engine.runner else ()
        for one in (engine, *exact):
            output = one.forward([image.canvas for image in images], self._directions)
            vectors = one.measured(output, [image.statistics for image in images])
            checked = (vectors, *output.logits.values())
            if all(bool(torch.isfinite(found).all()) for found in checked):
                return output, vectors
        raise NonFinite(
            "the network's output is not a number: take this image out, and report"
            " it together with the bundle's digest"
        )

    def finish(self, found: Inferred) -> Prediction:
        """The rest, for one image; may run in any thread, beside `infer`."""
        where, labels = found.where, self.description.labels
        probabilities = self._probabilities(found)
        return Prediction(
            probabilities={
                label.name: float(probabilities[label.head][label.index])
                for label in labels
            },
            logits={
                label.name: float(found.logits[label.head][label.index])
                for label in labels
            },
            in_domain=where.distance <= where.limit,
            domain_distance=where.distance,
            domain_limit=where.limit,
            statistics=dict(zip(STATISTICS, found.image.statistics, strict=True)),
            activation_maps=self._maps(found),
        )

    def sum_up(self, found: Sequence[Inferred]) -> SeriesPrediction:
        """What the slices of a series, at least one, say together."""
        series = self.description.input.series
        if series is None or not found:
            raise BundleError(
                "only a series bundle sums up slices: see input.unit in bundle.json"
            )
        how = series.aggregation
        return summed_up(self._parts, self.description.labels, how, found)

    def _probabilities(self, one: Inferred) -> dict[str, Tensor]:
        """Calibrated; a head that never saw this kind of image abstains, so that all
        its classes are equally probable.
        """
        found: dict[str, Tensor] = {}
        for name, head in self._heads.items():
            logits = one.logits[name][None]
            found[name] = (
                self._parts.probabilities(head, logits)[0]
                if self._parts.judges(name, one.where)
                else head.probabilities(torch.zeros_like(logits))[0]
            )
        return found

    def _maps(self, found: Inferred) -> dict[str, NDArray[np.float32]]:
        """All labels at once: one product, one resampling."""
        if not self.description.labels:
            return {}
        maps = self._parts.engine.preset.to_source(found.planes, found.image.box)
        names = (label.name for label in self.description.labels)
        return dict(zip(names, np.clip(maps, 0, 1), strict=True))

    def _direction(self, label: Label) -> Tensor:
        weight: Any = self._parts.engine.network.heads[label.head].weight
        return explain.direction(
            self._heads[label.head], weight.detach().float().cpu(), label.index
        )


def load(
    folder: Path,
    device: str = "cpu",
    *,
    public_key: Path | None = None,
    addendum: Path | None = None,
) -> Bundle:
    """Verify a bundle, build its network and check it against its test vector.

    public_key: whose signature bundle and addendum must have. addendum: what the site
    re-set by commissioning. Raises BundleError when anything is not as packed.
    """
    description, table = read_bundle(folder, public_key)
    tensors = read_tensors(folder / WEIGHTS_FILE)
    try:
        parts = _parts(table, tensors, torch.device(device))
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise BundleError(
            f"the weights do not fit {type(error).__name__}: {error}; pack the bundle"
            " again with this version"
        ) from error
    checks.labels(description, parts.engine.network.layout)
    checks.channels(description, parts.engine.network)
    bundle = Bundle(description, parts)
    checks.test_vector(bundle.predict, tensors)
    bundle = Bundle(description, replace(parts, example=checks.test_image(tensors)))
    return bundle if addendum is None else _at_site(bundle, addendum, public_key)


def _at_site(bundle: Bundle, addendum: Path, public_key: Path | None) -> Bundle:
    found = addenda.read(addendum, bundle.description, public_key)
    try:
        parts = bundle.parts.at_site(found)
    except ValueError as error:
        raise BundleError(
            f"{addendum.name}: {error}; commission the bundle again"
        ) from error
    return Bundle(found.applied_to(bundle.description), parts)


def heads_of(table: dict[str, Any]) -> list[Head]:
    """The network's heads as bundle.json has them."""
    return [head_of(item) for item in table["heads"]]


def _parts(
    table: dict[str, Any], tensors: dict[str, Tensor], device: torch.device
) -> Parts:
    network = build(
        table["network"]["architecture"],
        heads_of(table),
        feature_stride=int(table["network"]["feature_stride"]),
        channels=int(table["network"].get("channels", 1)),
    )
    stored = {
        n.removeprefix(MODEL): t for n, t in tensors.items() if n.startswith(MODEL)
    }
    checks.fit(network, stored)
    network.load_state_dict(stored)
    prepared_for(device)
    network.eval().requires_grad_(requires_grad=False).to(device)
    domain = Domain(
        tensors[DOMAIN + "whitening"],
        tensors[DOMAIN + "means"],
        float(table["domain"]["limit"]),
        tuple(table["domain"]["kinds"]),
    )
    if len(domain.kinds) != len(domain.means):
        raise ValueError("the domain has not one mean for each kind")
    temperatures = {item["name"]: float(item["temperature"]) for item in table["heads"]}
    if min(temperatures.values()) <= 0:
        raise ValueError("a temperature is not positive")
    preset = EvalPreset.from_dict(table["preset"])
    sources = {item["name"]: frozenset(item["sources"]) for item in table["heads"]}
    return Parts(Engine(network, preset, device), temperatures, domain, sources)
