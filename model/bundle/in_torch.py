"""A bundle's network in torch with fewer passes over memory, in one arithmetic."""

from __future__ import annotations

from itertools import takewhile
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from model.bundle import arithmetic, fusion, packing
from model.network import Output, n_channels
from model.network.hierarchy import composed

if TYPE_CHECKING:
    from torch import Tensor

    from model.bundle.arithmetic import Precision
    from model.bundle.engine import Engine
    from model.network import Classifier

_DTYPES: dict[Precision, torch.dtype] = {
    "float32": torch.float32,
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
}
_STEM = (nn.Conv2d, nn.BatchNorm2d, nn.ReLU, nn.MaxPool2d)
_N_EXACT_BLOCKS: dict[Precision, int] = {"float32": 0, "bfloat16": 1, "float16": 0}
"""Blocks after the stem that stay in float32: bfloat16 rounds to eight bits. Where
convolutions are packed none has to: biases, which did most of the harm, stay exact."""
_AT_ONCE = {torch.float32: 4, torch.bfloat16: 8}
"""Images in one pass of packed convolutions: what is between two layers then stays in
the cache, and in memory that is used again, which a batch of 16 asks for anew."""


class TorchRunner:
    """The network in torch with fewer passes over memory, in one arithmetic.

    The blocks of the trunk compute in it. The stem, and in bfloat16 that is not packed
    the first block, stay in float32: what is rounded there moves everything that
    follows most. So do pooling and heads, because the distance of the pooled features
    from home is what the domain gate judges.
    """

    def __init__(self, engine: Engine, precision: Precision) -> None:
        dtype = self._dtype = _DTYPES[precision]
        # oneDNN's have no emulation, so without the hardware torch's own must do.
        joins = engine.device.type == "cpu" and (
            dtype == torch.float32 or arithmetic.has_native_bfloat16(engine.device)
        )
        self._packs = joins and dtype != torch.float16
        network = engine.network
        self._read = Heads(network) if self._packs else network.read
        n_exact = 0 if self._packs else _N_EXACT_BLOCKS[precision]
        stem, rest = _parted(network.trunk, n_exact)
        self._stem = fusion.fused(stem, joins=joins)
        self._rest = fusion.fused(rest, joins=joins)
        if self._packs:
            self._pack(_example(engine, dtype))
        self._stem = _for_speed(self._stem, torch.float32)
        self._rest = _for_speed(self._rest, dtype)

    def __call__(self, images: Tensor) -> Output:
        """(batch, channels, N, N) on the device -> as the network."""
        found = self._in_parts(images) if self._packs else self._features(images)
        return self._read(found)

    def _in_parts(self, images: Tensor) -> Tensor:
        parts = torch.split(images, _AT_ONCE[self._dtype])
        found = [self._features(part) for part in parts]
        return torch.cat(found) if len(found) > 1 else found[0]

    def _features(self, images: Tensor) -> Tensor:
        """The feature map in float32."""
        # `forward` without what a module does around it, which takes a while each time.
        found: Tensor = self._stem.forward(images.to(memory_format=torch.channels_last))
        found = found.to(self._dtype, memory_format=torch.channels_last)
        found = self._rest.forward(found)
        return found.float()

    def _pack(self, example: Tensor) -> None:
        with torch.inference_mode():
            between = self._stem(example)
        self._stem = packing.packed(self._stem, example, torch.float32)
        self._rest = packing.packed(self._rest, between, self._dtype)


class Heads:
    """All heads of a network in one product: of one image each costs as much as all."""

    def __init__(self, network: Classifier) -> None:
        self._layout = network.layout
        heads: list[Any] = [network.heads[head.name] for head in self._layout]
        weights = torch.cat([head.weight.detach() for head in heads])
        self._weights = weights.T.contiguous()
        self._bias = torch.cat([head.bias.detach() for head in heads])
        self._sizes = [len(head.classes) for head in self._layout]

    def __call__(self, features: Tensor) -> Output:
        """As the network's own, `model.network.Classifier.read`."""
        pooled = features.mean((2, 3))
        said = torch.addmm(self._bias, pooled, self._weights)
        each: tuple[Tensor, ...] = torch.split(said, self._sizes, 1)
        logits = {
            head.name: composed(one, head.parents) if head.parents else one
            for head, one in zip(self._layout, each, strict=True)
        }
        return Output(logits, features, pooled)


def _example(engine: Engine, dtype: torch.dtype) -> Tensor:
    size = engine.preset.size
    shape = (_AT_ONCE[dtype], n_channels(engine.network), size, size)
    return torch.zeros(shape).to(memory_format=torch.channels_last)


def _parted(trunk: nn.Module, n_blocks: int) -> tuple[nn.Module, nn.Module]:
    """Stem and so many blocks, and the rest; nothing before, if it is unknown."""
    if not isinstance(trunk, nn.Sequential):
        return nn.Sequential(), trunk
    layers = list(trunk)
    stem = list(takewhile(lambda one: isinstance(one, _STEM), layers))
    first = len(stem) + n_blocks
    return nn.Sequential(*layers[:first]), nn.Sequential(*layers[first:])


def _for_speed(part: nn.Module, dtype: torch.dtype) -> nn.Module:
    return part.to(dtype=dtype).to(memory_format=torch.channels_last)
