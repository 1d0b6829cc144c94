"""Writing a bundle: the same content always gives the same bytes."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from model.bundle import integrity
from model.bundle.description import (
    BUNDLE_FILE,
    SCHEMA_VERSION,
    WEIGHTS_FILE,
    Description,
    describe,
)
from model.bundle.errors import BundleError
from model.bundle.weights import write_tensors

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor


@dataclass(frozen=True)
class Content:
    """table: bundle.json without its schema version. tensors: prefixed names.

    texts: relative path -> text, at least `model_card.md`.
    """

    table: dict[str, Any]
    tensors: dict[str, Tensor]
    texts: dict[str, str] = field(default_factory=dict)


def save(folder: Path, content: Content) -> Description:
    """Write a new bundle and verify it; an existing folder must be a bundle or empty.

    The files of an earlier bundle in the folder that are not part of this one are
    removed. MANIFEST.json is written last, so a folder without one is not a bundle.
    """
    if folder.exists() and any(folder.iterdir()):
        _clear(folder)
    table = {**content.table, "schema_version": SCHEMA_VERSION}
    text = json.dumps(table, indent=2, sort_keys=True, ensure_ascii=False) + "\n"
    _put(folder / BUNDLE_FILE, text.encode())
    _put(folder / WEIGHTS_FILE, write_tensors(content.tensors))
    for name, value in sorted(content.texts.items()):
        _put(folder / name, value.encode())
    _put(folder / integrity.MANIFEST, integrity.build(folder))
    return describe(folder)


def _clear(folder: Path) -> None:
    if not (folder / integrity.MANIFEST).is_file():
        raise BundleError(
            f"{folder.name} is not empty and not a bundle: give a new folder"
        )
    for name in integrity.files(folder):
        (folder / name).unlink()


def _put(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    with part.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)
