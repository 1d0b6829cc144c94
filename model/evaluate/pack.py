"""A finished run becomes a bundle: calibrate, fit the domain, evaluate, write."""

from __future__ import annotations

import json
import math
import tempfile
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from model.bundle import load, save
from model.bundle.errors import BundleError
from model.bundle.write import Content
from model.evaluate import quality, series
from model.evaluate.calibrating import calibrated
from model.evaluate.card import card
from model.evaluate.content import content
from model.evaluate.figures import Evaluation, evaluate
from model.evaluate.home import fit_domain, reference
from model.evaluate.report import render
from model.evaluate.runs import Run, open_run
from model.evaluate.scoring import EVERY_WAY, Scores, Variant, score
from model.network import n_parameters

if TYPE_CHECKING:
    from model.bundle import Description
    from model.bundle.domain import Domain

_STRETCHES = (0.72, 1.4)
_ENOUGH_TO_CALIBRATE = 300
_LARGEST_ERROR = 0.02
_MISS = 0.1
_TEST_SEED, _TEST_ROWS, _TEST_COLUMNS = 7, 144, 126


def pack(
    run: Path, data: Path, spec: Path, folder: Path, *, draws: int = 2000
) -> tuple[Description, Evaluation]:
    """Make the bundle of a run; returns its description and its evaluation.

    spec: TOML with what the bundle says of itself, beside a `.card.md` of the same
    name. Temperatures, the limits of the domain and of checks without a network, and
    the drift reference are set on the validation split, never on the training images;
    the baselines of the shortcut panel may learn from those. Raises BundleError when
    the run is not finished, or when the shortcut gate refuses the model.
    """
    table = tomllib.loads(spec.read_text(encoding="utf-8"))
    opened = open_run(run, data, {label["head"] for label in table["labels"]})
    if opened.recipe["data"].get("shuffled"):
        raise BundleError(
            f"{run.name} was trained on shuffled labels: train without --shuffle-labels"
        )
    table["training_note"] = opened.note
    held_out = opened.split("val")
    domain, scores = (_of_series if opened.of_series else _of_images)(opened, table)
    heads = [calibrated(opened, scores, head) for head in opened.heads]
    made = content(opened, table, heads, domain)
    with tempfile.TemporaryDirectory() as draft:
        save(Path(draft), made)
        bundle = load(Path(draft))
    judged = series.evaluate if opened.of_series else evaluate
    evaluation = judged(
        bundle,
        held_out,
        opened.roots,
        draws=draws,
        training=opened.split("train"),
        scores=_of_ways(opened, scores),
    )
    if evaluation.refusals:
        raise BundleError(
            f"the shortcut gate refuses: {'; '.join(evaluation.refusals)}"
        )
    home = series.reference if opened.of_series else reference
    made.table["reference"] = home(bundle, opened)
    made.table["evaluation"] = _summary(evaluation)
    template = spec.with_name(spec.name.replace(".bundle.toml", ".card.md"))
    texts = _texts(opened, made.table, template, evaluation)
    return save(folder, Content(made.table, made.tensors, texts)), evaluation


def _of_images(run: Run, table: dict[str, Any]) -> tuple[Domain, Scores]:
    """Limits of the checks into the table; the domain, and the validation scores."""
    held_out = run.split("val")
    table["quality"] = quality.fitted(
        table.get("quality", []), held_out, run.roots, table.pop("quality_limits", {})
    )
    ways = (*run.ways, *(Variant(stretch=s) for s in _STRETCHES))
    scores = score(run.engine, run.roots, [(r, v) for r in held_out for v in ways])
    return fit_domain(run, scores, table.pop("domain")), scores


def _of_series(run: Run, table: dict[str, Any]) -> tuple[Domain, Scores]:
    """As `_of_images`; what a series bundle wants goes into the table's input."""
    if any("fitted" in one for one in table.get("quality", ())):
        raise BundleError(
            "the limits of a series bundle's checks are not fitted: give them limits"
        )
    table["input"] = series.input_of(run, table["input"])
    return series.home(run, table["input"], table.pop("domain"))


def _of_ways(run: Run, scores: Scores) -> Scores | None:
    """The scores of a full evaluation, if the network was scored in all its ways."""
    if run.of_series:
        return scores
    if not set(EVERY_WAY) <= set(run.ways):
        return None
    return scores.where(np.array([v in run.ways for v in scores.variants]))


def _summary(evaluation: Evaluation) -> list[dict[str, Any]]:
    """The figures of the report, short enough for a program to read."""
    return [
        {
            "section": one.section,
            "name": one.name,
            "on": one.on,
            "value": round(one.figure.value, 4),
            "low": round(one.figure.low, 4),
            "high": round(one.figure.high, 4),
            "n": one.figure.n,
            "n_patients": one.figure.n_patients,
        }
        for one in evaluation.entries
        if one.measured and math.isfinite(one.figure.low + one.figure.high)
    ]


def _texts(
    run: Run, table: dict[str, Any], template: Path, evaluation: Evaluation
) -> dict[str, str]:
    facts = {
        "table": table,
        "rows": run.rows,
        "recipe": run.recipe,
        "n_parameters": n_parameters(run.engine.network),
    }
    return {
        "model_card.md": card(template.read_text("utf-8"), facts, evaluation),
        "report/evaluation.json": json.dumps(evaluation.to_dict(), indent=1) + "\n",
        "report/report.html": render(evaluation),
    }
