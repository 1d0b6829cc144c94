"""Bundles: the front door of the model for the node, with `pixels` and `phantom`.

A bundle is a folder: `bundle.json`, `model.safetensors`, `model_card.md`, `report/`,
and `MANIFEST.json` with the hash of each; `MANIFEST.sig` may sign that. `describe` and
`verify` need no torch, which is imported when a bundle is loaded or written.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from model.bundle.addendum import Addendum
from model.bundle.addendum import read as read_addendum
from model.bundle.archive import extract
from model.bundle.archive import write as write_zip
from model.bundle.arithmetic import Arithmetic, Wanted, note, noted
from model.bundle.coding import CodeEntry
from model.bundle.description import (
    Description,
    HeaderCheck,
    InputSpec,
    Label,
    describe,
)
from model.bundle.errors import BundleError, NonFinite
from model.bundle.prediction import Prediction, SeriesPrediction
from model.bundle.quality import Limits, QualityCheck, Remark, headers_of, remarks
from model.bundle.series import Aggregation, SeriesSpec
from model.bundle.signing import sign_bundle

if TYPE_CHECKING:
    from pathlib import Path

    from model.bundle.serve import Bundle
    from model.bundle.write import Content

__all__ = [
    "Addendum",
    "Aggregation",
    "Arithmetic",
    "BundleError",
    "CodeEntry",
    "Description",
    "HeaderCheck",
    "InputSpec",
    "Label",
    "Limits",
    "NonFinite",
    "Prediction",
    "QualityCheck",
    "Remark",
    "SeriesPrediction",
    "SeriesSpec",
    "Wanted",
    "describe",
    "extract",
    "headers_of",
    "load",
    "noted",
    "read_addendum",
    "remarks",
    "save",
    "sign_bundle",
    "verify",
    "write_zip",
]


def load(
    folder: Path,
    device: str = "cpu",
    *,
    public_key: Path | None = None,
    addendum: Path | None = None,
    running: Wanted | None = None,
) -> Bundle:
    """Verify and load; see `model.bundle.serve.load`. Raises BundleError.

    running: how the network is to run, see `model.bundle.running`; None runs it as it
    was packed, in float32. What was found is noted in its cache.
    """
    from model.bundle import serve  # noqa: PLC0415 - torch only when a model runs

    found = serve.load(folder, device, public_key=public_key, addendum=addendum)
    if running is None:
        return found
    from model.bundle import running as ways  # noqa: PLC0415 - as above

    found = ways.accelerated(found, running)
    if running.cache is not None:
        with suppress(OSError):  # only for people to look up
            note(running.cache, found.description.digest, found.arithmetic)
    return found


def verify(folder: Path, public_key: Path | None = None) -> Description:
    """Compare every file with MANIFEST.json; raises BundleError. No torch.

    public_key: PEM of the Ed25519 key whose signature MANIFEST.sig must be.
    """
    return describe(folder, public_key)


def save(folder: Path, content: Content) -> Description:
    """Write a bundle; see `model.bundle.write.save`."""
    from model.bundle import write  # noqa: PLC0415 - torch only when a model is written

    return write.save(folder, content)
