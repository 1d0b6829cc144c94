"""Network and preset on a device: one forward path for service and evaluation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch.nn.functional import normalize

from model.bundle.domain import statistics
from model.network import Output

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

    from model.network import Classifier
    from model.transforms import Box, EvalPreset

    Runner = Callable[[Tensor], Output]


@dataclass(frozen=True)
class Prepared:
    """An image as the network takes it.

    canvas: float32 (1, N, N). statistics: of its grey values, as in
    `model.bundle.domain`. box: where the image lies on the canvas.
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

    def forward(self, canvases: Sequence[Tensor]) -> Output:
        """One batched forward pass in inference mode; float32 on the CPU.

        canvases: (1, N, N) each.
        """
        batch = torch.stack(list(canvases))
        if self.device.type == "cuda":
            # From page-locked memory the copy need not wait; the forward pass that
            # follows on the same stream does.
            batch = batch.pin_memory().to(self.device, non_blocking=True)
        with torch.inference_mode():
            output: Output = (self.runner or self.network)(batch)
        logits = {name: value.float().cpu() for name, value in output.logits.items()}
        return Output(
            logits, output.features.float().cpu(), output.pooled.float().cpu()
        )

    def vectors(self, output: Output, images: Sequence[NDArray[np.float32]]) -> Tensor:
        """What the domain gate measures, float32 (batch, dimension)."""
        return self.measured(output, [statistics(image) for image in images])

    def measured(self, output: Output, grey: Sequence[list[float]]) -> Tensor:
        """As `vectors`, from the statistics of each image.

        Pooled features of unit length: their direction tells strangers better than
        their size, which mostly follows contrast.
        """
        return torch.cat([normalize(output.pooled), torch.tensor(grey)], 1)
