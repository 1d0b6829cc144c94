"""From display pixels to what the network sees: one preset to train, one to serve.

Both end in the same steps in the same order: letterbox on a square canvas, blank the
border, standardise each image over what is left, zero everywhere else. The border and
the padding are therefore the image's own mean, neither black nor white, and say
nothing about inversion.

The training preset works on a whole batch with an explicit generator instead of
torchvision's v2 classes: v2 draws from the global generator, so that a run could not
be resumed bit by bit. Its functional kernels are used where they exist.
"""

from model.preparation import NORMALISATIONS, Box, letterbox_box, normalised
from model.transforms.normalise import standardise
from model.transforms.serving import PRESET_VERSION, EvalPreset
from model.transforms.training import TrainPreset

__all__ = [
    "NORMALISATIONS",
    "PRESET_VERSION",
    "Box",
    "EvalPreset",
    "TrainPreset",
    "letterbox_box",
    "normalised",
    "standardise",
]
