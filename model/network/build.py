"""One constructor for every network."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
import torchvision
from safetensors.torch import load_file
from torch import nn

from model.network.attention import swin, vit
from model.network.classifier import Classifier, Head
from model.network.convolutional import (
    FINE_STRIDE,
    convnext,
    densenet,
    efficientnet,
    mobilenet,
    resnet,
)
from model.network.slim import slim

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from torch import Tensor

_TRUNK = "trunk."
_COARSE_STRIDE = 32
_BOTH = (FINE_STRIDE, _COARSE_STRIDE)
_TRUNKS: dict[str, Callable[[int], tuple[nn.Module, int]]] = {
    "slim": slim,
    "resnet18": resnet("resnet18"),
    "resnet34": resnet("resnet34"),
    "resnet50": resnet("resnet50"),
    "densenet121": densenet,
    "mobilenet_v3_small": mobilenet("mobilenet_v3_small", 9),
    "mobilenet_v3_large": mobilenet("mobilenet_v3_large", 13),
    "efficientnet_v2_s": efficientnet,
    "convnext_tiny": convnext,
    "swin_v2_t": swin,
    "vit_b_16": vit,
}
ARCHITECTURES = tuple(_TRUNKS)
STRIDES = {
    **dict.fromkeys(ARCHITECTURES, _BOTH),
    "swin_v2_t": (_COARSE_STRIDE,),
    "vit_b_16": (FINE_STRIDE,),
}


def build(
    architecture: str,
    heads: Sequence[Head],
    *,
    feature_stride: int = FINE_STRIDE,
    weights: Path | None = None,
    dropout: float = 0.0,
    channels: int = 1,
) -> Classifier:
    """A network, with random weights or with those of a local file.

    feature_stride: 16 or 32 input pixels per feature-map pixel (STRIDES says which an
    architecture offers). weights: a local safetensors file to start from: torchvision's
    ImageNet weights for the trunk, whose three colour channels are summed into one, or
    the `model.safetensors` of a run or bundle, whose heads are taken over where name
    and number of classes agree. dropout: of the pooled features, in training.
    channels: of the input, one for radiographs. Raises ValueError for an unknown
    architecture or stride and for weights that do not fit.
    """
    if architecture not in _TRUNKS:
        raise ValueError(
            f"architecture {architecture!r} is unknown: use one of"
            f" {', '.join(ARCHITECTURES)}"
        )
    if feature_stride not in _BOTH:
        raise ValueError(
            f"feature_stride {feature_stride} is not offered: use 16 or 32"
        )
    trunk, width = _TRUNKS[architecture](feature_stride)
    stem = _first_convolution(trunk)
    if stem.in_channels != channels:
        _make_channels(trunk, stem, channels)
    model = Classifier(trunk, width, heads, dropout)
    if weights is not None:
        _load(model, architecture, weights)
    return model


def n_parameters(model: nn.Module) -> int:
    """Trainable parameters."""
    return sum(p.numel() for p in model.parameters() if p.requires_grad)


def n_channels(model: nn.Module) -> int:
    """What the network takes of an input."""
    return _first_convolution(model).in_channels


def _first_convolution(trunk: nn.Module) -> nn.Conv2d:
    return next(layer for layer in trunk.modules() if isinstance(layer, nn.Conv2d))


def _make_channels(trunk: nn.Module, stem: nn.Conv2d, channels: int) -> None:
    grey = nn.Conv2d(
        channels,
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


def _load(model: Classifier, architecture: str, weights: Path) -> None:
    stored = load_file(weights)
    if any(name.startswith(_TRUNK) for name in stored):
        _load_ours(model, stored, weights.name)
    else:
        _load_trunk(model.trunk, architecture, stored, weights.name)


def _load_ours(model: Classifier, stored: dict[str, Tensor], name: str) -> None:
    """Go on from a network of ours: the whole trunk, and the heads that fit."""
    ours = model.state_dict()
    fits = {
        key: value
        for key, value in stored.items()
        if key in ours and ours[key].shape == value.shape
    }
    if any(key.startswith(_TRUNK) and key not in fits for key in ours):
        raise ValueError(
            f"{name} holds another trunk: start from a run with the same [network]"
        )
    model.load_state_dict({**ours, **fits})


def _load_trunk(
    trunk: nn.Module, architecture: str, stored: dict[str, Tensor], name: str
) -> None:
    """Copy a torchvision state dict by order of its tensors; heads are left out."""
    with torch.device("meta"):  # names and shapes only
        reference: Any = torchvision.models.get_model(architecture, weights=None)
    expected = {key: t.shape for key, t in reference.state_dict().items()}
    if expected != {key: t.shape for key, t in stored.items()}:
        raise ValueError(
            f"{name} does not hold torchvision's weights of {architecture}:"
            " save its state dict as safetensors"
        )
    ours = trunk.state_dict()
    theirs = [stored[key] for key in expected][: len(ours)]
    summed = [
        theirs_.sum(1, keepdim=True)
        if theirs_.ndim == 4 and theirs_.shape[1] == 3 and ours_.shape[1] == 1  # noqa: PLR2004
        else theirs_
        for ours_, theirs_ in zip(ours.values(), theirs, strict=True)
    ]
    trunk.load_state_dict(dict(zip(ours, summed, strict=True)))
