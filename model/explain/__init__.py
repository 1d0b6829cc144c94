"""Where in the image the answer comes from. A map shows where, never why."""

from model.explain.cam import class_activation, class_activations, direction
from model.explain.gradient_maps import (
    grad_cam,
    grad_cam_plus_plus,
    hires_cam,
    scaled,
)
from model.explain.pixel_maps import integrated_gradients, occlusion
from model.explain.target import Target

__all__ = [
    "Target",
    "class_activation",
    "class_activations",
    "direction",
    "grad_cam",
    "grad_cam_plus_plus",
    "hires_cam",
    "integrated_gradients",
    "occlusion",
    "scaled",
]
