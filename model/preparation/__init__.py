"""From display pixels to what the network sees, without torch.

Training's evaluation and service prepare an image by this one path, so that a process
without torch can do it: letterbox on a square canvas, blank the border, standardise
over what is left, zero everywhere else.
"""

from model.preparation.canvas import Box, Preparation, letterbox_box
from model.preparation.grey import NORMALISATIONS, check, normalised
from model.preparation.numbers import STATISTICS, statistics

__all__ = [
    "NORMALISATIONS",
    "STATISTICS",
    "Box",
    "Preparation",
    "check",
    "letterbox_box",
    "normalised",
    "statistics",
]
