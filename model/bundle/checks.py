"""Before a bundle runs: its tensors, labels and test vector must be as packed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from model.bundle.errors import BundleError
from model.network import n_channels

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray
    from torch import Tensor

    from model.bundle.description import Description
    from model.bundle.prediction import Prediction
    from model.network import Classifier, Head

    Predict = Callable[[Sequence[NDArray[np.float32]]], Sequence[Prediction]]

TEST = "test."
_LARGEST_DIFFERENCE = 2e-3


def fit(network: Classifier, stored: dict[str, Tensor]) -> None:
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


def channels(description: Description, network: Classifier) -> None:
    """The network must take as many channels as the description has it shown."""
    series = description.input.series
    wanted = 1 if series is None else series.channels
    found = n_channels(network)
    if found != wanted:
        raise BundleError(
            f"the network takes {found} channels, windows and stack_depth make"
            f" {wanted}: correct input.series or network.channels, and pack again"
        )
    sigmoid = all(one.activation == "sigmoid" for one in network.layout)
    if series is not None and not sigmoid:
        raise BundleError(
            "a series bundle sums up the logits of sigmoid heads: train it with them"
        )


def labels(description: Description, layout: Sequence[Head]) -> None:
    """Each label must be the class of the head that it says."""
    classes = {head.name: head.classes for head in layout}
    for label in description.labels:
        here = classes.get(label.head, ())
        if not 0 <= label.index < len(here) or here[label.index] != label.name:
            raise BundleError(
                f"label {label.name} is not class {label.index} of head {label.head}:"
                " pack the bundle again"
            )


def test_image(tensors: dict[str, Tensor]) -> NDArray[np.float32]:
    """The image of the test vector as display pixels; KeyError without one."""
    image: NDArray[np.float32] = (tensors[TEST + "image"].float() / 255).numpy()
    return image


def test_vector(predict: Predict, tensors: dict[str, Tensor]) -> None:
    """The network must say today what it said when it was packed."""
    try:
        image = test_image(tensors)
        expected = tensors[TEST + "logits"]
    except KeyError as error:
        raise BundleError(
            "the test vector is missing: pack the bundle again"
        ) from error
    logits = list(predict([image])[0].logits.values())
    if len(logits) != len(expected) or not np.allclose(
        logits, expected.numpy(), atol=_LARGEST_DIFFERENCE, rtol=_LARGEST_DIFFERENCE
    ):
        raise BundleError(
            "the network does not give the stored output for the stored test image:"
            " this device or torch version computes differently; try device cpu"
        )


def image(image: NDArray[np.float32], channels: int = 1) -> None:
    """Raise BundleError unless this is a plane of display pixels, or of a series
    bundle a stack of so many.
    """
    found = image.shape[0] if image.ndim > 2 else 1  # noqa: PLR2004 - a stack
    plain = image.dtype == np.float32 and image.ndim in (2, 3) and min(image.shape) > 0
    if not plain or found != channels:
        stacks = f" {channels} planes of" if channels > 1 else ""
        raise BundleError(
            f"an image must be a float32 array of{stacks} rows and columns: give it"
            " model.pixels.display_pixels"
        )
    low, high = float(image.min()), float(image.max())
    if not (low >= 0 and high <= 1):  # also false for NaN
        raise BundleError(
            f"pixels lie between {low:g} and {high:g}, not between 0 and 1: give it"
            " model.pixels.display_pixels"
        )
