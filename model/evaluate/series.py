"""A bundle for whole series, judged: one answer for each series, read as in service."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from model.bundle.domain import Domain, fit
from model.bundle.errors import BundleError
from model.bundle.on_disk import Slices, look_of, predicted, slices_said, spec_of
from model.bundle.series import Aggregation, parse_series
from model.bundle.volume import aggregated
from model.bundle.watch import columns, is_undetermined
from model.data.files import locate, size_bytes
from model.data.volumes import slices_of
from model.evaluate import baselines, discrimination
from model.evaluate.calibrating import is_phantom
from model.evaluate.evaluation import Entry, Evaluation
from model.evaluate.joining import joined
from model.evaluate.judge import Judge
from model.evaluate.scoring import AS_IS, Scores
from model.evaluate.shortcuts import shortcut_gate
from model.evaluate.tasks import answers, tasks
from model.monitor import OUTSIDE, UNDETERMINED, build_reference

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from model.bundle.series import SeriesSpec
    from model.bundle.serve import Bundle
    from model.data.manifest import Row
    from model.evaluate.runs import Run
    from model.evaluate.tasks import Task
    from model.metrics import Figure

_MOST_OF_A_SOURCE = 300
_COLUMNS = ("sex", "age_years", "manufacturer")


def input_of(run: Run, given: dict[str, Any]) -> dict[str, Any]:
    """`input` of bundle.json: what the spec says, and how the network was trained.

    Raises BundleError when the spec contradicts the training.
    """
    trained: dict[str, Any] = run.recipe["series"]
    fixed = {
        "windows": [list(one) for one in trained["windows"]],
        "percentiles": [list(one) for one in trained.get("percentiles", ())],
        "stack_depth": trained["stack_depth"],
        "aggregation": {"method": trained["aggregation"], "k": trained["k"]},
    }
    stored = dict(given.get("series") or {})
    for key, value in fixed.items():
        if stored.setdefault(key, value) != value:
            raise BundleError(
                f"input.series.{key} is not what the network was trained with: leave"
                " it out of the .bundle.toml"
            )
    if "span" not in stored and "n_slices" not in stored:
        part = trained["central_fraction"]
        stored["n_slices"] = trained["n_slices"]
        stored |= {"span": "central", "central_fraction": part} if part < 1 else {}
    try:
        parse_series({"unit": "series", "series": stored})
    except ValueError as error:
        raise BundleError(str(error)) from error
    return {**given, "unit": "series", "series": stored}


def home(
    run: Run, wanted: dict[str, Any], settings: dict[str, Any]
) -> tuple[Domain, Scores]:
    """The domain of the slices of training series, its limit from the median slices of
    validation series; and what the network says of these.
    """
    spec = _spec(wanted)
    look = look_of(spec)
    training = _some_of_each(run.split("train"))
    known = [slices_said(run.engine, locate(row, run.roots), look) for row in training]
    vectors = np.concatenate([one.vectors for one in known])
    kinds = [
        row.source
        for row, one in zip(training, known, strict=True)
        for _ in one.vectors
    ]
    whitening, means, names = fit(vectors, kinds, float(settings["shrinkage"]))
    unlimited = Domain(whitening, means, np.inf, names)
    held_out = run.split("val")
    found = [slices_said(run.engine, locate(row, run.roots), look) for row in held_out]
    scores = _scores(held_out, found, spec.aggregation, unlimited)
    nearest, _ = unlimited.nearest(torch.from_numpy(scores.vectors).float())
    limits = [
        np.quantile(nearest.numpy()[scores.sources == one], float(settings["quantile"]))
        for one in sorted(set(scores.sources))
    ]
    return Domain(whitening, means, float(max(limits)), names), scores


def evaluate(
    bundle: Bundle,
    rows: Sequence[Row],
    roots: Sequence[Path],
    *,
    draws: int = 2000,
    training: Sequence[Row] = (),
    scores: Scores | None = None,
) -> Evaluation:
    """All figures of a series bundle; every n is a number of series.

    As `model.evaluate.figures.evaluate`; the shortcut panel is metadata, number of
    slices and size of the files.
    """
    if scores is None:
        scores = score(bundle, rows, roots)
    judge = Judge(bundle, draws)
    judged = tasks(judge, scores)
    panels = [
        _panel(judge, task, roots, training)
        for task in judged
        if not task.on.startswith("phantom")
    ]
    entries = [
        *(entry for task in judged for entry in discrimination.figures(judge, task)),
        *(entry for found, _ in panels for entry in found),
        *_refused(judge, scores),
    ]
    refusals = (refusal for _, found in panels for refusal in found)
    whole = joined(judge, scores, judged, entries, refusals)
    notes = "Every figure is of whole series, read as in service.", *whole.notes
    return replace(whole, notes=notes)


def score(bundle: Bundle, rows: Sequence[Row], roots: Sequence[Path]) -> Scores:
    """What the network says of each series."""
    spec = spec_of(bundle)
    engine, look = bundle.parts.engine, look_of(spec)
    found = [slices_said(engine, locate(row, roots), look) for row in rows]
    return _scores(rows, found, spec.aggregation, bundle.parts.domain)


def reference(bundle: Bundle, run: Run) -> dict[str, Any]:
    """Drift reference from the validation series; phantoms if there is nothing else."""
    rows = np.array(run.split("val"), object)
    drawn = is_phantom(np.array([row.source for row in rows]))
    real = rows if drawn.all() else rows[~drawn]
    engine, look = bundle.parts.engine, look_of(spec_of(bundle))
    said = [
        predicted(bundle, slices_said(engine, locate(row, run.roots), look))
        for row in real
    ]
    labels = bundle.description.labels
    unsure = [x.in_domain and is_undetermined(labels, x.probabilities) for x in said]
    rates = {
        OUTSIDE: round(float(np.mean([not one.in_domain for one in said])), 4),
        UNDETERMINED: round(float(np.mean(unsure)), 4),
    }
    return build_reference(columns(said), rates).to_dict()


def _spec(wanted: dict[str, Any]) -> SeriesSpec:
    spec = parse_series(wanted)
    if spec is None:
        raise BundleError("input.unit must be 'series' for a run on series: correct it")
    return spec


def _scores(
    rows: Sequence[Row], found: Sequence[Slices], how: Aggregation, domain: Domain
) -> Scores:
    """One entry for each series; the vector is that of its median slice."""
    logits = {
        name: np.stack([aggregated(one.logits[name], how).double() for one in found])
        for name in found[0].logits
    }
    return Scores(
        tuple(rows),
        (AS_IS,) * len(rows),
        logits,
        np.stack([_median(one.vectors, domain) for one in found]),
    )


def _median(vectors: NDArray[np.float64], domain: Domain) -> NDArray[np.float64]:
    distances, _ = domain.nearest(torch.from_numpy(vectors).float())
    order = np.argsort(distances.numpy(), kind="stable")
    return np.asarray(vectors[order[len(order) // 2]], np.float64)


def _some_of_each(rows: Sequence[Row]) -> list[Row]:
    chosen: list[Row] = []
    for source in sorted({row.source for row in rows}):
        here = [row for row in rows if row.source == source]
        step = max(1.0, len(here) / _MOST_OF_A_SOURCE)
        chosen += [here[int(i * step)] for i in range(int(len(here) / step))]
    return chosen


def _refused(judge: Judge, scores: Scores) -> list[Entry]:
    refused = judge.refused(scores)
    return [
        Entry(
            "domain",
            "refused, as they are",
            source,
            judge.share(refused[scores.sources == source], part),
        )
        for source in sorted(set(scores.sources))
        for part in [scores.where(scores.sources == source)]
    ]


def _panel(
    judge: Judge, task: Task, roots: Sequence[Path], training: Sequence[Row]
) -> tuple[list[Entry], list[str]]:
    """The AUROC beside what needs no anatomy, and the refusals of the gate."""
    head, index = judge.head(task.label.head), task.label.index
    mine = set(task.scores.patients)
    more = [r for r in training if r.source == task.on and r.patient not in mine]
    known, target = answers(more, head, index)
    rows = [
        *task.scores.rows,
        *(r for r, good in zip(more, known, strict=True) if good),
    ]
    positive = np.concatenate([task.positive, target[known][:, index] == 1])
    paths = [locate(row, roots) for row in rows]
    told = {name: [str(getattr(row, name)) for row in rows] for name in _COLUMNS}
    told["slices"] = [str(len(slices_of(path))) for path in paths]
    metadata, names = baselines.table(told)
    gated: dict[str, Figure] = {}
    if names:
        patients = [row.patient for row in rows]
        fitted = baselines.metadata_model(metadata, positive, patients)
        gated["metadata"] = _judged(judge, task, fitted)
    n_bytes = np.array([size_bytes(path) for path in paths], np.float64)
    sized = [_judged(judge, task, sign * n_bytes) for sign in (1, -1)]
    gated["file size"] = max(sized, key=lambda figure: figure.value)
    entries = [
        Entry("shortcuts", f"AUROC of {name} alone", task.on, figure)
        for name, figure in gated.items()
    ]
    model = judge.auroc(task.probabilities, task.positive, task.scores)
    where = f"{task.label.name} on {task.on}: "
    return entries, [where + refusal for refusal in shortcut_gate(model, gated)]


def _judged(judge: Judge, task: Task, values: NDArray[np.float64]) -> Figure:
    return judge.auroc(values[: len(task.positive)], task.positive, task.scores)
