"""A verified bundle at work: images in, calibrated probabilities and maps out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch.nn.functional import normalize

from model import explain
from model.bundle.description import WEIGHTS_FILE, Description, read_bundle
from model.bundle.domain import Domain, statistics
from model.bundle.errors import BundleError, NonFinite
from model.bundle.prediction import Prediction
from model.bundle.weights import read_tensors
from model.network import Classifier, Head, Output, build
from model.transforms import EvalPreset

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray
    from torch import Tensor

    from model.bundle.description import Label
    from model.transforms import Box

MODEL, DOMAIN, TEST = "model.", "domain.", "test."
_LARGEST_DIFFERENCE = 2e-3


@dataclass(frozen=True)
class Engine:
    """Network and preset on a device: one forward path for service and evaluation."""

    network: Classifier
    preset: EvalPreset
    device: torch.device

    def run(self, images: Sequence[NDArray[np.float32]]) -> Output:
        """One batched forward pass in inference mode; float32 on the CPU."""
        batch = torch.stack([self.preset(image) for image in images])
        with torch.inference_mode():
            output: Output = self.network(batch.to(self.device))
        logits = {name: value.float().cpu() for name, value in output.logits.items()}
        return Output(
            logits, output.features.float().cpu(), output.pooled.float().cpu()
        )

    def vectors(self, output: Output, images: Sequence[NDArray[np.float32]]) -> Tensor:
        """What the domain gate measures, float32 (batch, dimension).

        Pooled features of unit length: their direction tells strangers better than
        their size, which mostly follows contrast.
        """
        grey = torch.tensor([statistics(image) for image in images])
        return torch.cat([normalize(output.pooled), grey], 1)


@dataclass(frozen=True)
class Parts:
    """Everything that computes: engine, temperature of each head, domain.

    sources: sources whose labels each head was trained on; none named means all.
    """

    engine: Engine
    temperatures: dict[str, float]
    domain: Domain
    sources: dict[str, frozenset[str]]

    def knows(self, head: str) -> list[bool]:
        """For each kind of the domain, whether this head was trained on it."""
        named = self.sources[head]
        return [not named or source in named for source in self.domain.sources]


class Bundle:
    """One loaded model. Safe to call from one thread at a time."""

    def __init__(self, description: Description, parts: Parts) -> None:
        self.description = description
        self._parts = parts
        self._heads = {head.name: head for head in parts.engine.network.layout}

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
        if not images:
            return []
        for image in images:
            _check_image(image)
        output = self._parts.engine.run(images)
        vectors = self._parts.engine.vectors(output, images)
        distances, kinds = self._parts.domain.nearest(vectors)
        finite = torch.isfinite(distances).all()
        finite &= all(bool(torch.isfinite(v).all()) for v in output.logits.values())
        if not finite:
            raise NonFinite(
                "the network's output is not a number: take this image out, and report"
                " it together with the bundle's digest"
            )
        return [
            self._prediction(
                output, index, (float(distances[index]), int(kinds[index])), image
            )
            for index, image in enumerate(images)
        ]

    def _prediction(
        self,
        output: Output,
        index: int,
        nearest: tuple[float, int],
        image: NDArray[np.float32],
    ) -> Prediction:
        distance, kind = nearest
        probabilities = self._probabilities(output, index, kind)
        box = self._parts.engine.preset.box(image)
        labels = self.description.labels
        limit = self._parts.domain.limit
        return Prediction(
            probabilities={
                label.name: float(probabilities[label.head][label.index])
                for label in labels
            },
            logits={
                label.name: float(output.logits[label.head][index][label.index])
                for label in labels
            },
            in_domain=distance <= limit,
            domain_distance=distance,
            domain_limit=limit,
            activation_maps={
                label.name: self._map(label, output.features[index], box)
                for label in labels
            },
        )

    def _probabilities(
        self, output: Output, index: int, kind: int
    ) -> dict[str, Tensor]:
        """Calibrated; a head that never saw this kind of image abstains, so that all
        its classes are equally probable.
        """
        found: dict[str, Tensor] = {}
        for name, head in self._heads.items():
            logits = output.logits[name][index : index + 1]
            if not self._parts.knows(name)[kind]:
                logits = torch.zeros_like(logits)
            found[name] = head.probabilities(logits / self._parts.temperatures[name])[0]
        return found

    def _map(self, label: Label, features: Tensor, box: Box) -> NDArray[np.float32]:
        weight: Any = self._parts.engine.network.heads[label.head].weight
        direction = explain.direction(
            self._heads[label.head], weight.detach().float().cpu(), label.index
        )
        plane = explain.class_activation(features, direction)
        return np.clip(self._parts.engine.preset.to_source(plane, box), 0, 1)


def load(folder: Path, device: str = "cpu") -> Bundle:
    """Verify a bundle, build its network and check it against its test vector.

    Raises BundleError when anything is not as packed.
    """
    description, table = read_bundle(folder)
    tensors = read_tensors(folder / WEIGHTS_FILE)
    try:
        parts = _parts(table, tensors, torch.device(device))
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise BundleError(
            f"the weights do not fit {type(error).__name__}: {error}; pack the bundle"
            " again with this version"
        ) from error
    _check_labels(description, parts.engine.network.layout)
    bundle = Bundle(description, parts)
    _check_test_vector(bundle, tensors)
    return bundle


def heads_of(table: dict[str, Any]) -> list[Head]:
    """The network's heads as bundle.json has them."""
    return [
        Head(item["name"], tuple(item["classes"]), item["activation"])
        for item in table["heads"]
    ]


def _parts(
    table: dict[str, Any], tensors: dict[str, Tensor], device: torch.device
) -> Parts:
    network = build(
        table["network"]["architecture"],
        heads_of(table),
        feature_stride=int(table["network"]["feature_stride"]),
    )
    stored = {
        n.removeprefix(MODEL): t for n, t in tensors.items() if n.startswith(MODEL)
    }
    _check_fit(network, stored)
    network.load_state_dict(stored)
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


def _check_fit(network: Classifier, stored: dict[str, Tensor]) -> None:
    """Names, shapes and types must be the network's, all of them, before loading."""
    expected = {n: (tuple(t.shape), t.dtype) for n, t in network.state_dict().items()}
    found = {n: (tuple(t.shape), t.dtype) for n, t in stored.items()}
    if expected != found:
        differing = sorted(
            name
            for name in expected.keys() | found.keys()
            if expected.get(name) != found.get(name)
        )
        raise ValueError(
            f"{len(differing)} tensors differ, the first is {differing[0]}"
        )


def _check_labels(description: Description, layout: Sequence[Head]) -> None:
    classes = {head.name: head.classes for head in layout}
    for label in description.labels:
        here = classes.get(label.head, ())
        if not 0 <= label.index < len(here) or here[label.index] != label.name:
            raise BundleError(
                f"label {label.name} is not class {label.index} of head {label.head}:"
                " pack the bundle again"
            )


def _check_test_vector(bundle: Bundle, tensors: dict[str, Tensor]) -> None:
    """The network must say today what it said when it was packed."""
    try:
        image: NDArray[np.float32] = (tensors[TEST + "image"].float() / 255).numpy()
        expected = tensors[TEST + "logits"]
    except KeyError as error:
        raise BundleError(
            "the test vector is missing: pack the bundle again"
        ) from error
    logits = list(bundle.predict([image])[0].logits.values())
    if len(logits) != len(expected) or not np.allclose(
        logits, expected.numpy(), atol=_LARGEST_DIFFERENCE, rtol=_LARGEST_DIFFERENCE
    ):
        raise BundleError(
            "the network does not give the stored output for the stored test image:"
            " this device or torch version computes differently; try device cpu"
        )


def _check_image(image: NDArray[np.float32]) -> None:
    if image.dtype != np.float32 or image.ndim != 2 or min(image.shape) < 1:  # noqa: PLR2004 - a plane
        raise BundleError(
            "an image must be a float32 array of rows and columns: give it"
            " model.pixels.display_pixels"
        )
    low, high = float(image.min()), float(image.max())
    if not (low >= 0 and high <= 1):  # also false for NaN
        raise BundleError(
            f"pixels lie between {low:g} and {high:g}, not between 0 and 1: give it"
            " model.pixels.display_pixels"
        )
