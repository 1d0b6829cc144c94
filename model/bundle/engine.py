"""Network and preset on a device: one forward path for service and evaluation."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import torch
from torch.nn.functional import normalize

from model import explain
from model.bundle.gpu import Streams
from model.network import Output
from model.preparation import statistics

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

    from model.bundle.gpu import Runner
    from model.network import Classifier
    from model.preparation import Box
    from model.transforms import EvalPreset


@dataclass(frozen=True)
class Prepared:
    """An image as the network takes it.

    canvas: float32 (channels, N, N). statistics: of its grey values, as in
    `model.preparation.statistics`. box: where the image lies on the canvas.
    """

    canvas: Tensor
    statistics: list[float]
    box: Box


@dataclass(frozen=True)
class Engine:
    """One network, its preset, and where it runs.

    runner: a faster way to the same output, from a batch on the device; without one
    the network itself runs.
    """

    network: Classifier
    preset: EvalPreset
    device: torch.device
    runner: Runner | None = None

    def prepare(self, image: NDArray[np.float32]) -> Prepared:
        """What the network needs of display pixels, (rows, columns) in [0, 1]."""
        return Prepared(self.preset(image), statistics(image), self.preset.box(image))

    def run(self, images: Sequence[NDArray[np.float32]]) -> Output:
        """One batched forward pass over display pixels; float32 on the CPU."""
        return self.forward([self.preset(image) for image in images])

    def forward(
        self, canvases: Sequence[Tensor], directions: Tensor | None = None
    ) -> Output:
        """One batched forward pass in inference mode; float32 on the CPU.

        canvases: (channels, N, N) each. directions: (L, C) on the device; with them
        ``features`` holds the class activation map of each, (batch, L, n, n): far
        less to bring back from a device than the feature map.
        """
        if self.device.type == "cuda":
            return self._on_gpu(canvases, directions)
        return _apart(self._run(torch.stack(list(canvases))), directions)

    def _run(self, batch: Tensor) -> Output:
        with torch.inference_mode():
            return (self.runner or self.network)(batch)

    @cached_property
    def _streams(self) -> Streams:
        return Streams(self.device)

    def _on_gpu(self, canvases: Sequence[Tensor], directions: Tensor | None) -> Output:
        """All copies from and to page-locked memory, none waited for but the last."""
        staged = torch.empty(
            (len(canvases), *canvases[0].shape), dtype=torch.float32, pin_memory=True
        )
        torch.stack(list(canvases), out=staged)
        with self._streams.one():
            batch = staged.to(self.device, non_blocking=True)
            found = _apart(self._run(batch), directions)
        return found

    def vectors(self, output: Output, images: Sequence[NDArray[np.float32]]) -> Tensor:
        """What the domain gate measures, float32 (batch, dimension)."""
        return self.measured(output, [statistics(image) for image in images])

    def measured(self, output: Output, grey: Sequence[list[float]]) -> Tensor:
        """As `vectors`, from the statistics of each image.

        Pooled features of unit length: their direction tells strangers better than
        their size, which mostly follows contrast.
        """
        return torch.cat([normalize(output.pooled), torch.tensor(grey)], 1)


def _apart(output: Output, directions: Tensor | None) -> Output:
    """float32 on the CPU; from a GPU, there once its stream has been waited for."""
    features = output.features.float()
    if directions is not None:
        features = explain.class_activations(features, directions)
    return Output(
        {name: _home(value) for name, value in output.logits.items()},
        _home(features),
        _home(output.pooled),
    )


def _home(value: Tensor) -> Tensor:
    return value.float().to("cpu", non_blocking=True)
