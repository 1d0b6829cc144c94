"""The verbs of `python -m model` that judge a model: evaluate, shortcuts, explain."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from model.bundle import load
from model.data.dataset import locate, read_image
from model.data.manifest import ManifestError, read
from model.evaluate import strangers
from model.evaluate.compare import compare
from model.evaluate.figures import evaluate
from model.evaluate.report import render

if TYPE_CHECKING:
    import argparse

    from model.bundle.serve import Bundle
    from model.data.manifest import Row
    from model.evaluate.evaluation import Evaluation


def add_verbs(verbs: Any) -> None:
    """Add the verbs to the subparsers of the command line."""
    _add_evaluate(verbs)


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
    one.add_argument("--draws", type=int, default=2000, help="of each bootstrap")
    one.set_defaults(verb=_evaluate)


def _evaluate(parsed: argparse.Namespace) -> str:
    listed = read(parsed.manifest)
    rows = [row for row in listed if row.split == parsed.split]
    if not rows:
        raise ManifestError(f"no row of split {parsed.split}: choose another --split")
    training = [row for row in listed if row.split == "train"]
    bundle = load(parsed.bundle)
    evaluation = evaluate(
        bundle, rows, parsed.data, draws=parsed.draws, training=training
    )
    if parsed.against:
        other = load(parsed.against)
        found = compare(bundle, other, rows, parsed.data, draws=parsed.draws)
        evaluation = replace(evaluation, comparisons=tuple(found))
    if parsed.strangers:
        evaluation = _with_strangers(evaluation, bundle, rows, parsed)
    return _write(evaluation, parsed.out)


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
