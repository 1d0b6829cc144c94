"""The networks, with the shape after each stage in a comment.

Every network is: a trunk that turns (batch, 1, N, N) into a feature map (batch, C, n,
n), global average pooling, and one linear head per question. Because the heads are
linear on the pooled map, the same weights on the unpooled map are the class
activation map, in the same forward pass.
"""

from model.network.build import ARCHITECTURES, STRIDES, build, n_channels, n_parameters
from model.network.classifier import Activation, Classifier, Head, Output, head_of
from model.network.slim import Residual

__all__ = [
    "ARCHITECTURES",
    "STRIDES",
    "Activation",
    "Classifier",
    "Head",
    "Output",
    "Residual",
    "build",
    "head_of",
    "n_channels",
    "n_parameters",
]
