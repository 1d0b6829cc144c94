"""What a table of labels gives away without pixels, before any model is trained."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from model import metrics
from model.data.files import read_image, size_bytes
from model.data.manifest import ManifestError
from model.evaluate import baselines

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from model.metrics import Figure

METADATA = "metadata, all columns"
_PATH = "file"


@dataclass(frozen=True)
class Question:
    """label: column of 0 and 1. patient: column that groups images. columns: the
    metadata. where: `COLUMN=VALUE` of the lines to use, or "".
    """

    label: str
    patient: str
    columns: tuple[str, ...]
    where: str = ""


def without_pixels(
    table: Path, question: Question, images: Path | None = None, *, draws: int = 2000
) -> dict[str, Figure]:
    """AUROC by name: of all columns together (trees fitted across patients), of each
    column alone in its better direction, and with `images` (a folder, paths in the
    column `file`) of file size and of a 16 x 16 thumbnail.

    Lines whose label is neither 0 nor 1 are left out. Raises ManifestError for missing
    columns and files, and when one class has no image.
    """
    lines = _lines(table, question)
    positive = np.array([float(line[question.label]) == 1 for line in lines])
    if positive.all() or not positive.any():
        raise ManifestError(
            f"{question.label} has images of one class only here: change --where"
        )
    patients = [line[question.patient] for line in lines]
    columns = {name: [line[name] for line in lines] for name in question.columns}
    found = _of_metadata(columns, positive, patients)
    if images is not None:
        found |= _of_files([images / line[_PATH] for line in lines], positive, patients)
    return {
        name: metrics.auroc_figure(scores, positive, patients, draws=draws)
        for name, scores in found.items()
    }


def said(found: dict[str, Figure]) -> str:
    """For people, with what the shortcut gate would ask of a model."""
    width = max(len(name) for name in found)
    lines = [f"{name:<{width}}  AUROC {figure}" for name, figure in found.items()]
    bar = max(found[name].high for name in found if name in (METADATA, "file size"))
    return "\n".join(
        [
            *lines,
            f"The shortcut gate refuses a model whose AUROC interval on these images"
            f" does not begin above {bar:.4f}.",
        ]
    )


def _lines(table: Path, question: Question) -> list[dict[str, str]]:
    try:
        with table.open(encoding="utf-8-sig", newline="") as file:
            lines = list(csv.DictReader(file))
    except OSError as error:
        raise ManifestError(f"{table.name} cannot be read: give a CSV table") from error
    column, _, value = question.where.partition("=")
    needed = {question.label, question.patient, *question.columns, column} - {""}
    missing = needed - set(lines[0] if lines else ())
    if missing:
        raise ManifestError(
            f"{table.name} lacks the columns {', '.join(sorted(missing))}: name others"
        )
    return [
        line
        for line in lines
        if line[question.label] in ("0", "1", "0.0", "1.0")
        and (not column or line[column] == value)
    ]


def _of_metadata(
    columns: dict[str, list[str]], positive: NDArray[np.bool_], patients: list[str]
) -> dict[str, NDArray[np.float64]]:
    features, names = baselines.table(columns)
    if not names:
        return {}
    together = baselines.metadata_model(features, positive, patients)
    alone = {
        f"{name} alone": _better(np.nan_to_num(features[:, i], nan=-1.0), positive)
        for i, name in enumerate(names)
    }
    return {METADATA: together, **alone}


def _of_files(
    paths: list[Path], positive: NDArray[np.bool_], patients: list[str]
) -> dict[str, NDArray[np.float64]]:
    missing = next((path for path in paths if not path.is_file()), None)
    if missing:
        raise ManifestError(f"{missing.name} is not in the folder: give the right one")
    sizes = np.array([size_bytes(path) for path in paths], np.float64)
    small = np.stack([baselines.thumbnail(read_image(path)) for path in paths])
    return {
        "file size": _better(sizes, positive),
        "thumbnail 16 x 16": baselines.thumbnail_model(small, positive, patients),
    }


def _better(
    values: NDArray[np.float64], positive: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """The values in the direction that tells more."""
    return values if metrics.auroc(values, positive) >= 0.5 else -values  # noqa: PLR2004
