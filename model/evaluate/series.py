"""A bundle for whole series, judged: one answer for each series, read as in service."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch

from model.bundle.domain import Domain, fit
from model.bundle.errors import BundleError
from model.bundle.series import Aggregation, parse_series
from model.bundle.volume import aggregated
from model.bundle.watch import columns, is_undetermined
from model.data.files import locate, size_bytes
from model.data.volumes import Look, slices_of, stacks
from model.evaluate import baselines, discrimination
from model.evaluate.calibrating import is_phantom
from model.evaluate.evaluation import Entry, Evaluation
from model.evaluate.judge import Judge
from model.evaluate.scoring import AS_IS, Scores
from model.evaluate.shortcuts import shortcut_gate
from model.evaluate.subgroups import subgroups
from model.evaluate.tasks import answers, pooled_tasks, tasks
from model.monitor import OUTSIDE, UNDETERMINED, build_reference

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from model.bundle.series import SeriesSpec
    from model.bundle.serve import Bundle, Engine
    from model.bundle.volume import SeriesPrediction
    from model.data.manifest import Row
    from model.evaluate.runs import Run
    from model.evaluate.tasks import Task
    from model.metrics import Figure

_BATCH = 32
_MOST_OF_A_SOURCE = 300
_COLUMNS = ("sex", "age_years", "manufacturer")


class Slices(NamedTuple):
    """What the network says of the slices of one series.

    logits: head -> (slices, classes). vectors: (slices, d) of the domain gate.
    """

    logits: dict[str, torch.Tensor]
    vectors: NDArray[np.float64]


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
    known = [_slices(run.engine, locate(row, run.roots), look) for row in training]
    vectors = np.concatenate([one.vectors for one in known])
    kinds = [
        row.source
        for row, one in zip(training, known, strict=True)
        for _ in one.vectors
    ]
    whitening, means, names = fit(vectors, kinds, float(settings["shrinkage"]))
    unlimited = Domain(whitening, means, np.inf, names)
    held_out = run.split("val")
    found = [_slices(run.engine, locate(row, run.roots), look) for row in held_out]
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
    spec = _of_series(bundle)
    if scores is None:
        engine, look = bundle.parts.engine, look_of(spec)
        found = [_slices(engine, locate(row, roots), look) for row in rows]
        scores = _scores(rows, found, spec.aggregation, bundle.parts.domain)
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
    return Evaluation(
        bundle=f"{bundle.description.name} {bundle.description.version}",
        entries=tuple(entries),
        plots=tuple(p for task in judged for p in discrimination.plots(judge, task)),
        subgroups=tuple(subgroups(judge, pooled_tasks(judge, scores))),
        operating_points=tuple(
            point
            for task in judged
            for point in discrimination.operating_points(judge, task)
        ),
        notes=(
            "Every figure is of whole series, read as in service.",
            *(n for task in judged for n in discrimination.notes(judge, task)),
        ),
        refusals=tuple(refusal for _, refusals in panels for refusal in refusals),
    )


def reference(bundle: Bundle, run: Run) -> dict[str, Any]:
    """Drift reference from the validation series; phantoms if there is nothing else."""
    rows = np.array(run.split("val"), object)
    drawn = is_phantom(np.array([row.source for row in rows]))
    real = rows if drawn.all() else rows[~drawn]
    said = list(predictions(bundle, real.tolist(), run.roots))
    labels = bundle.description.labels
    unsure = [x.in_domain and is_undetermined(labels, x.probabilities) for x in said]
    rates = {
        OUTSIDE: round(float(np.mean([not one.in_domain for one in said])), 4),
        UNDETERMINED: round(float(np.mean(unsure)), 4),
    }
    return build_reference(columns(said), rates).to_dict()


def predictions(
    bundle: Bundle, rows: Sequence[Row], roots: Sequence[Path]
) -> Iterator[SeriesPrediction]:
    """What the bundle says of each series, by the slices that service would read."""
    look = look_of(_of_series(bundle))
    for row in rows:
        path = locate(row, roots)
        found = [
            one
            for images in _batches(path, look)
            for one in bundle.infer([bundle.prepare(image) for image in images])
        ]
        yield bundle.sum_up(found)


def look_of(spec: SeriesSpec) -> Look:
    """How a bundle has slices shown, and which it reads."""
    return Look(
        spec.ranges,
        spec.stack_depth,
        spec.n_slices,
        spec.central_fraction,
        percentiles=bool(spec.percentiles),
    )


def _of_series(bundle: Bundle) -> SeriesSpec:
    spec = bundle.description.input.series
    if spec is None:
        raise BundleError("this bundle is for single images: give a series bundle")
    return spec


def _spec(wanted: dict[str, Any]) -> SeriesSpec:
    spec = parse_series(wanted)
    if spec is None:
        raise BundleError("input.unit must be 'series' for a run on series: correct it")
    return spec


def _slices(engine: Engine, path: Path, look: Look) -> Slices:
    logits: dict[str, list[torch.Tensor]] = {}
    vectors = []
    for images in _batches(path, look):
        output = engine.run(images)
        vectors.append(engine.vectors(output, images).double().numpy())
        for name, value in output.logits.items():
            logits.setdefault(name, []).append(value)
    joined = {name: torch.cat(parts) for name, parts in logits.items()}
    return Slices(joined, np.concatenate(vectors))


def _batches(path: Path, look: Look) -> Iterator[list[NDArray[np.float32]]]:
    # A short series repeats slices in training; service reads each once.
    numbers = sorted(set(look.read(path)))
    for start in range(0, len(numbers), _BATCH):
        found = stacks(path, numbers[start : start + _BATCH], look)
        planes = (one[0] if len(one) == 1 else one for one in found)
        yield [(one / np.float32(255)).astype(np.float32) for one in planes]


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
