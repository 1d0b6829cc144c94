"""The verbs of `python -m model` that judge a model or an image: evaluate, shortcuts,
explain, quality.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from model import pixels
from model import quality as measuring
from model.bundle import BundleError, describe, headers_of, load, remarks
from model.data import boxes
from model.data.files import is_raster, locate, read_image
from model.data.manifest import ManifestError, read
from model.evaluate import maps, pointing, series, strangers, tables
from model.evaluate.compare import compare, is_of_series
from model.evaluate.figures import evaluate
from model.evaluate.report import render
from model.evaluate.runs import open_run
from model.pixels import UnsupportedPixels

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from model.bundle import QualityCheck
    from model.bundle.serve import Bundle
    from model.data.manifest import Row
    from model.evaluate.evaluation import Evaluation
    from model.network import Classifier


def add_verbs(verbs: Any) -> None:
    """Add the verbs to the subparsers of the command line."""
    _add_evaluate(verbs)
    _add_shortcuts(verbs)
    _add_explain(verbs)
    _add_quality(verbs)


def _add_shortcuts(verbs: Any) -> None:
    one = verbs.add_parser("shortcuts", help="what a label table says without pixels")
    one.add_argument("table", type=Path, help="CSV, one line per image")
    one.add_argument("--label", required=True, help="column of 0 and 1")
    one.add_argument("--patient", default="patient_id", help="column of the patient")
    one.add_argument("--columns", required=True, help="metadata columns, with commas")
    one.add_argument("--where", help="COLUMN=VALUE: only these lines")
    one.add_argument("--data", type=Path, help="folder of the images, column `file`")
    one.add_argument("--draws", type=int, default=2000, help="of each bootstrap")
    one.set_defaults(verb=_shortcuts)


def _add_explain(verbs: Any) -> None:
    one = verbs.add_parser("explain", help="maps of one image, as PNG")
    one.add_argument("bundle", type=Path)
    one.add_argument("image", type=Path, help="DICOM, PNG or JPEG")
    one.add_argument("--out", type=Path, required=True, help="folder of the maps")
    one.add_argument("--label", action="append", default=[], help="default: all")
    one.add_argument(
        "--method", action="append", default=[], help=f"of {', '.join(maps.METHODS)}"
    )
    one.add_argument(
        "--shuffled", type=Path, help="run folder of `train --shuffle-labels`"
    )
    one.add_argument("--boxes", type=Path, help="table of `boxes`, of this image too")
    one.set_defaults(verb=_explain)


def _add_quality(verbs: Any) -> None:
    one = verbs.add_parser("quality", help="checks of images that need no network")
    one.add_argument("bundle", type=Path)
    one.add_argument("image", type=Path, nargs="+", help="DICOM, PNG or JPEG")
    one.set_defaults(verb=_quality)


def _add_evaluate(verbs: Any) -> None:
    one = verbs.add_parser("evaluate", help="figures of a bundle on a manifest")
    one.add_argument("bundle", type=Path)
    one.add_argument("--manifest", type=Path, required=True)
    one.add_argument("--data", type=Path, action="append", required=True)
    one.add_argument("--split", default="val")
    one.add_argument("--out", type=Path, required=True, help="folder of the report")
    one.add_argument("--against", type=Path, help="another bundle, on the same images")
    one.add_argument(
        "--strangers", type=Path, help="DICOM folder that the domain gate should refuse"
    )
    one.add_argument("--boxes", type=Path, help="table of `boxes`: pointing game")
    one.add_argument("--draws", type=int, default=2000, help="of each bootstrap")
    one.set_defaults(verb=_evaluate)


def rows_of(manifest: Path, split: str) -> list[Row]:
    """Rows of one split; ManifestError when there is none."""
    rows = [row for row in read(manifest) if row.split == split]
    if not rows:
        raise ManifestError(f"no row of split {split}: choose another --split")
    return rows


def _evaluate(parsed: argparse.Namespace) -> str:
    rows = rows_of(parsed.manifest, parsed.split)
    training = [row for row in read(parsed.manifest) if row.split == "train"]
    bundle = load(parsed.bundle)
    if is_of_series(bundle):
        return _evaluate_series(bundle, rows, training, parsed)
    evaluation = evaluate(
        bundle, rows, parsed.data, draws=parsed.draws, training=training
    )
    evaluation = _with_comparison(evaluation, bundle, rows, parsed)
    if parsed.boxes:
        marked = boxes.read(parsed.boxes)
        pointed = pointing.entries(
            bundle, rows, parsed.data, marked, draws=parsed.draws
        )
        evaluation = replace(evaluation, entries=(*evaluation.entries, *pointed))
    if parsed.strangers:
        evaluation = _with_strangers(evaluation, bundle, rows, parsed)
    return _write(evaluation, parsed.out)


def _evaluate_series(
    bundle: Bundle, rows: list[Row], training: list[Row], parsed: argparse.Namespace
) -> str:
    if parsed.boxes or parsed.strangers:
        raise BundleError(
            "--boxes and --strangers are for bundles of single images: what is marked"
            " and what is strange is said of images, and this one answers for series;"
            " leave them out"
        )
    roots, draws = parsed.data, parsed.draws
    found = series.evaluate(bundle, rows, roots, draws=draws, training=training)
    return _write(_with_comparison(found, bundle, rows, parsed), parsed.out)


def _with_comparison(
    evaluation: Evaluation, bundle: Bundle, rows: list[Row], parsed: argparse.Namespace
) -> Evaluation:
    """With what --against asks for."""
    if not parsed.against:
        return evaluation
    other = load(parsed.against)
    found = compare(bundle, other, rows, parsed.data, draws=parsed.draws)
    return replace(evaluation, comparisons=tuple(found))


def _with_strangers(
    evaluation: Evaluation, bundle: Bundle, rows: list[Row], parsed: argparse.Namespace
) -> Evaluation:
    home = [row for row in rows if row.source != "phantom"] or rows
    near = np.concatenate(
        [
            strangers.distances(bundle, [read_image(locate(row, parsed.data))])
            for row in home
        ]
    )
    found = strangers.entries(bundle, near, parsed.strangers, draws=parsed.draws)
    if not found:
        raise ManifestError(
            f"no image of another kind in {parsed.strangers.name}: give a folder of"
            " DICOM files of other modalities or body regions"
        )
    return replace(evaluation, entries=(*evaluation.entries, *found))


def _write(evaluation: Evaluation, out: Path) -> str:
    out.mkdir(parents=True, exist_ok=True)
    text = json.dumps(evaluation.to_dict(), indent=1, allow_nan=False) + "\n"
    (out / "evaluation.json").write_text(text, encoding="utf-8")
    page = out / "report.html"
    page.write_text(render(evaluation), encoding="utf-8")
    lines = [f"refused by the shortcut gate: {said}" for said in evaluation.refusals]
    return "\n".join([*lines, f"report: {page}"])


def _shortcuts(parsed: argparse.Namespace) -> str:
    question = tables.Question(
        label=parsed.label,
        patient=parsed.patient,
        columns=tuple(parsed.columns.split(",")),
        where=parsed.where or "",
    )
    found = tables.without_pixels(
        parsed.table, question, parsed.data, draws=parsed.draws
    )
    return tables.said(found)


def _quality(parsed: argparse.Namespace) -> str:
    checks = describe(parsed.bundle).quality
    if not checks:
        raise BundleError(
            f"{parsed.bundle.name} has no checks without a network: give cxr-qc"
        )
    lines = [
        f"{path.name}  {one.check.name}  {one.answer}  {one.text}"
        for path in parsed.image
        for one in remarks(checks, _measured(path), _header(path, checks))
    ]
    return "\n".join(["Research use only.", *lines])


def _measured(path: Path) -> dict[str, float]:
    return measuring.measure(_displayed(path))


def _displayed(path: Path) -> NDArray[np.float32]:
    if not path.is_file():
        raise ManifestError(f"there is no file {path}: give an image")
    try:
        return read_image(path)
    except UnsupportedPixels as error:
        raise ManifestError(f"{path.name}: {error}") from error


def _header(path: Path, checks: Sequence[QualityCheck]) -> dict[str, str]:
    """Of a DICOM file; a picture has none."""
    return {} if is_raster(path) else headers_of(checks, pixels.read(path))


def _shuffled(run: Path, bundle: Bundle) -> Classifier:
    """The network of a run on shuffled labels, with the heads that the bundle kept."""
    heads = {head.name for head in bundle.parts.engine.network.layout}
    opened = open_run(run, run, heads)
    if not opened.recipe["data"].get("shuffled"):
        raise BundleError(
            f"{run.name} has the right labels: train it again with --shuffle-labels"
        )
    return opened.engine.network


def _marked(table: Path, image: Path) -> list[boxes.Marked]:
    name = boxes.image_name(image.name)
    found = [box for box in boxes.read(table) if box.image == name]
    if not found:
        raise ManifestError(f"{table.name} has no box of {name}: give another image")
    return found


def _explain(parsed: argparse.Namespace) -> str:
    image = _displayed(parsed.image)
    bundle = load(parsed.bundle)
    written = maps.write(
        bundle,
        image,
        parsed.out,
        labels=parsed.label,
        methods=parsed.method,
        against=maps.Against(
            _shuffled(parsed.shuffled, bundle) if parsed.shuffled else None,
            _marked(parsed.boxes, parsed.image) if parsed.boxes else (),
        ),
    )
    return f"{maps.NOTICE}\n{len(written)} files in {parsed.out}"
