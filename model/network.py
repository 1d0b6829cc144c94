"""The networks, with the shape after each stage in a comment.

Every network is: a trunk that turns (batch, 1, N, N) into a feature map (batch, C, n,
n), global average pooling, and one linear head per question. Because the heads are
linear on the pooled map, the same weights on the unpooled map are the class
activation map, in the same forward pass.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import torch
import torchvision
from torch import Tensor, nn

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

Activation = Literal["softmax", "sigmoid"]
_FINE_STRIDE, _COARSE_STRIDE = 16, 32


@dataclass(frozen=True)
class Head:
    """One question. softmax: exactly one class is true; sigmoid: each on its own."""

    name: str
    classes: tuple[str, ...]
    activation: Activation = "softmax"

    def __post_init__(self) -> None:
        if self.activation not in ("softmax", "sigmoid"):
            raise ValueError(
                f"head {self.name}: activation {self.activation!r} is unknown:"
                " use 'softmax' or 'sigmoid'"
            )
        least = 2 if self.activation == "softmax" else 1
        if len(self.classes) < least:
            raise ValueError(
                f"head {self.name} needs at least {least} classes: add them"
            )

    def probabilities(self, logits: Tensor) -> Tensor:
        """(batch, classes) -> (batch, classes), each row by this head's activation."""
        return logits.softmax(1) if self.activation == "softmax" else logits.sigmoid()


class Output(NamedTuple):
    """logits: head name -> (batch, classes). features: (batch, C, n, n)."""

    logits: dict[str, Tensor]
    features: Tensor
    pooled: Tensor


class Classifier(nn.Module):
    """Trunk, global average pooling and linear heads."""

    def __init__(self, trunk: nn.Module, width: int, heads: Sequence[Head]) -> None:
        super().__init__()
        self.trunk = trunk
        self.width = width
        self.layout = tuple(heads)
        self.heads = nn.ModuleDict(
            {head.name: nn.Linear(width, len(head.classes)) for head in heads}
        )

    def forward(self, images: Tensor) -> Output:
        """(batch, 1, N, N) -> logits per head, feature map and pooled features."""
        features = self.trunk(images)  # (batch, width, n, n)
        pooled = features.mean((2, 3))  # (batch, width)
        logits = {name: linear(pooled) for name, linear in self.heads.items()}
        return Output(logits, features, pooled)


class Residual(nn.Module):
    """Two 3x3 convolutions beside a shortcut."""

    def __init__(self, inner: int, outer: int, stride: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(inner, outer, 3, stride, 1, bias=False)
        self.first_norm = nn.BatchNorm2d(outer)
        self.second = nn.Conv2d(outer, outer, 3, 1, 1, bias=False)
        self.second_norm = nn.BatchNorm2d(outer)
        nn.init.zeros_(self.second_norm.weight)  # each block starts as its shortcut
        self.shortcut = (
            nn.Sequential(
                nn.Conv2d(inner, outer, 1, stride, bias=False), nn.BatchNorm2d(outer)
            )
            if stride != 1 or inner != outer
            else nn.Identity()
        )

    def forward(self, x: Tensor) -> Tensor:
        """(batch, inner, r, c) -> (batch, outer, r / stride, c / stride)."""
        y = torch.relu(self.first_norm(self.first(x)))
        y = self.second_norm(self.second(y))
        return torch.relu(y + self.shortcut(x))


def _slim(feature_stride: int) -> tuple[nn.Module, int]:
    """Our compact residual network, 0.70 million parameters.

    Shapes for an input of 128 x 128 and feature stride 16.
    """
    last = 2 if feature_stride == _COARSE_STRIDE else 1
    trunk = nn.Sequential(
        nn.Conv2d(1, 24, 3, 2, 1, bias=False),  # (batch, 24, 64, 64)
        nn.BatchNorm2d(24),
        nn.ReLU(inplace=True),
        Residual(24, 24, 1),  # (batch, 24, 64, 64)
        Residual(24, 48, 2),  # (batch, 48, 32, 32)
        Residual(48, 96, 2),  # (batch, 96, 16, 16)
        Residual(96, 192, 2),  # (batch, 192, 8, 8)
        nn.MaxPool2d(2) if last == 2 else nn.Identity(),  # noqa: PLR2004 - stride 32
    )
    return trunk, 192


def _resnet(name: str) -> Callable[[int], tuple[nn.Module, int]]:
    def make(feature_stride: int) -> tuple[nn.Module, int]:
        net: Any = torchvision.models.get_model(name, weights=None)
        if feature_stride == _FINE_STRIDE:
            _keep_resolution(net.layer4)
        trunk = nn.Sequential(
            net.conv1,  # (batch, 64, N/2, N/2)
            net.bn1,
            net.relu,
            net.maxpool,  # (batch, 64, N/4, N/4)
            net.layer1,  # (batch, 64 or 256, N/4, N/4)
            net.layer2,  # (batch, 128 or 512, N/8, N/8)
            net.layer3,  # (batch, 256 or 1024, N/16, N/16)
            net.layer4,  # (batch, 512 or 2048, N/32 or N/16, ...)
        )
        return trunk, int(net.fc.in_features)

    return make


def _densenet(feature_stride: int) -> tuple[nn.Module, int]:
    net: Any = torchvision.models.densenet121(weights=None)
    if feature_stride == _FINE_STRIDE:
        net.features.transition3.pool = nn.Identity()
    # features: conv0 to pool0 (64, N/4), then four dense blocks with transitions
    # between them: (256, N/4), (512, N/8), (1024, N/16), (1024, N/32 or N/16)
    return nn.Sequential(net.features, nn.ReLU()), 1024


def _efficientnet(feature_stride: int) -> tuple[nn.Module, int]:
    net: Any = torchvision.models.efficientnet_v2_s(weights=None)
    if feature_stride == _FINE_STRIDE:
        _keep_resolution(net.features[6])
    # features: 0 stem (24, N/2), 1 (24, N/2), 2 (48, N/4), 3 (64, N/8),
    # 4 (128, N/16), 5 (160, N/16), 6 (256, N/32 or N/16), 7 (1280, the same)
    return net.features, 1280


def _convnext(feature_stride: int) -> tuple[nn.Module, int]:
    net: Any = torchvision.models.convnext_tiny(weights=None)
    if feature_stride == _FINE_STRIDE:
        merge = net.features[6][1]  # 2 x 2 patch merging, stride 2
        merge.stride = (1, 1)
        net.features[6][1] = nn.Sequential(nn.ZeroPad2d((0, 1, 0, 1)), merge)
    # features: 0 stem (96, N/4), 1 (96, N/4), 3 (192, N/8), 5 (384, N/16),
    # 7 (768, N/32 or N/16); then the norm that convnext puts before its head
    return nn.Sequential(net.features, net.classifier[0]), 768


def _keep_resolution(stage: nn.Module) -> None:
    for layer in stage.modules():
        if isinstance(layer, nn.Conv2d) and layer.stride == (2, 2):
            layer.stride = (1, 1)


_TRUNKS: dict[str, Callable[[int], tuple[nn.Module, int]]] = {
    "slim": _slim,
    "resnet18": _resnet("resnet18"),
    "resnet34": _resnet("resnet34"),
    "resnet50": _resnet("resnet50"),
    "densenet121": _densenet,
    "efficientnet_v2_s": _efficientnet,
    "convnext_tiny": _convnext,
}
ARCHITECTURES = tuple(_TRUNKS)


def build(
    architecture: str,
    heads: Sequence[Head],
    *,
    feature_stride: int = _FINE_STRIDE,
    weights: Path | None = None,
) -> Classifier:
    """One constructor for every network.

    feature_stride: 16 or 32 input pixels per feature-map pixel. weights: a local
    safetensors file of torchvision's ImageNet weights for the trunk; its three colour
    channels are summed into one. Raises ValueError for an unknown architecture or
    stride and for weights that do not fit.
    """
    if architecture not in _TRUNKS:
        raise ValueError(
            f"architecture {architecture!r} is unknown: use one of"
            f" {', '.join(ARCHITECTURES)}"
        )
    if feature_stride not in (_FINE_STRIDE, _COARSE_STRIDE):
        raise ValueError(
            f"feature_stride {feature_stride} is not offered: use 16 or 32"
        )
    trunk, width = _TRUNKS[architecture](feature_stride)
    stem = _first_convolution(trunk)
    if stem.in_channels != 1:
        _make_single_channel(trunk, stem)
    model = Classifier(trunk, width, heads)
    if weights is not None:
        _load_trunk(model.trunk, architecture, weights)
    return model


def n_parameters(model: nn.Module) -> int:
    """Trainable parameters."""
    return sum(p.numel() for p in model.parameters() if p.requires_grad)


def _first_convolution(trunk: nn.Module) -> nn.Conv2d:
    return next(layer for layer in trunk.modules() if isinstance(layer, nn.Conv2d))


def _make_single_channel(trunk: nn.Module, stem: nn.Conv2d) -> None:
    grey = nn.Conv2d(
        1,
        stem.out_channels,
        stem.kernel_size,  # type: ignore[arg-type]
        stem.stride,  # type: ignore[arg-type]
        stem.padding,  # type: ignore[arg-type]
        bias=stem.bias is not None,
    )
    for parent in trunk.modules():
        for name, child in parent.named_children():
            if child is stem:
                setattr(parent, name, grey)


def _load_trunk(trunk: nn.Module, architecture: str, weights: Path) -> None:
    """Copy a torchvision state dict by order of its tensors; heads are left out."""
    from safetensors.torch import load_file  # noqa: PLC0415 - only with local weights

    reference: Any = torchvision.models.get_model(architecture, weights=None)
    stored = load_file(weights)
    reference.load_state_dict(stored)  # names and shapes must fit torchvision's
    ours = trunk.state_dict()
    theirs = list(reference.state_dict().values())[: len(ours)]
    summed = [
        theirs_.sum(1, keepdim=True)
        if theirs_.ndim == 4 and theirs_.shape[1] == 3 and ours_.shape[1] == 1  # noqa: PLR2004
        else theirs_
        for ours_, theirs_ in zip(ours.values(), theirs, strict=True)
    ]
    trunk.load_state_dict(dict(zip(ours, summed, strict=True)))
