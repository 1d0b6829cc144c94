"""Convolutional trunks of torchvision. Stride 32 is theirs; for 16 the last stage keeps
its input's resolution (same kernels, stride 1), so local weights still fit.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torchvision
from torch import nn

if TYPE_CHECKING:
    from collections.abc import Callable

FINE_STRIDE = 16
Trunk = tuple[nn.Module, int]


def resnet(name: str) -> Callable[[int], Trunk]:
    """ResNet-18, 34 or 50."""

    def make(feature_stride: int) -> Trunk:
        net: Any = torchvision.models.get_model(name, weights=None)
        if feature_stride == FINE_STRIDE:
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


def densenet(feature_stride: int) -> Trunk:
    """DenseNet-121."""
    net: Any = torchvision.models.densenet121(weights=None)
    if feature_stride == FINE_STRIDE:
        net.features.transition3.pool = nn.Identity()
    # features: conv0 to pool0 (64, N/4), then four dense blocks with transitions
    # between them: (256, N/4), (512, N/8), (1024, N/16), (1024, N/32 or N/16)
    return nn.Sequential(net.features, nn.ReLU()), 1024


def mobilenet(name: str, last_stage: int) -> Callable[[int], Trunk]:
    """MobileNetV3 small or large. last_stage: the block that goes from N/16 to N/32."""

    def make(feature_stride: int) -> Trunk:
        net: Any = torchvision.models.get_model(name, weights=None)
        if feature_stride == FINE_STRIDE:
            _keep_resolution(net.features[last_stage])
        # small: 0 stem (16, N/2), 1 (16, N/4), 2-3 (24, N/8), 4-8 (40 to 48, N/16),
        # 9-11 (96, N/32 or N/16), 12 (576, the same)
        # large: 0-1 (16, N/2), 2-3 (24, N/4), 4-6 (40, N/8), 7-12 (80 to 112, N/16),
        # 13-15 (160, N/32 or N/16), 16 (960, the same)
        return net.features, int(net.classifier[0].in_features)

    return make


def efficientnet(feature_stride: int) -> Trunk:
    """EfficientNetV2-S."""
    net: Any = torchvision.models.efficientnet_v2_s(weights=None)
    if feature_stride == FINE_STRIDE:
        _keep_resolution(net.features[6])
    # features: 0 stem (24, N/2), 1 (24, N/2), 2 (48, N/4), 3 (64, N/8),
    # 4 (128, N/16), 5 (160, N/16), 6 (256, N/32 or N/16), 7 (1280, the same)
    return net.features, 1280


def convnext(feature_stride: int) -> Trunk:
    """ConvNeXt-T."""
    net: Any = torchvision.models.convnext_tiny(weights=None)
    if feature_stride == FINE_STRIDE:
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
