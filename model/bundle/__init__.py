"""Bundles: the front door of the model for the node, with `pixels` and `phantom`.

A bundle is a folder: `bundle.json`, `model.safetensors`, `model_card.md`, `report/`,
and `MANIFEST.json` with the hash of each. `describe` and `verify` need no torch, which
is imported when a bundle is loaded or written.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from model.bundle.description import (
    CodeEntry,
    Description,
    HeaderCheck,
    InputSpec,
    Label,
    describe,
)
from model.bundle.errors import BundleError, NonFinite
from model.bundle.prediction import Prediction

if TYPE_CHECKING:
    from pathlib import Path

    from model.bundle.serve import Bundle
    from model.bundle.write import Content

__all__ = [
    "BundleError",
    "CodeEntry",
    "Description",
    "HeaderCheck",
    "InputSpec",
    "Label",
    "NonFinite",
    "Prediction",
    "describe",
    "load",
    "save",
    "verify",
]


def load(folder: Path, device: str = "cpu") -> Bundle:
    """Verify and load; see `model.bundle.serve.load`. Raises BundleError."""
    from model.bundle import serve  # noqa: PLC0415 - torch only when a model runs

    return serve.load(folder, device)


def verify(folder: Path) -> Description:
    """Compare every file with MANIFEST.json; raises BundleError. No torch."""
    return describe(folder)


def save(folder: Path, content: Content) -> Description:
    """Write a bundle; see `model.bundle.write.save`."""
    from model.bundle import write  # noqa: PLC0415 - torch only when a model is written

    return write.save(folder, content)
