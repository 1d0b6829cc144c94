"""A finished run becomes a bundle: calibrate, fit the domain, evaluate, write."""

from __future__ import annotations

import json
import math
import tempfile
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from model import calibration, metrics
from model.bundle import load, save
from model.bundle.errors import BundleError
from model.bundle.serve import DOMAIN, MODEL, TEST
from model.bundle.write import Content
from model.data import manifest
from model.data.dataset import targets
from model.evaluate import quality
from model.evaluate.card import card
from model.evaluate.figures import Evaluation, evaluate
from model.evaluate.home import fit_domain, reference
from model.evaluate.report import render
from model.evaluate.runs import Run, open_run
from model.evaluate.scoring import EVERY_WAY, Scores, Variant, score
from model.network import head_of, n_parameters
from model.phantom import chest

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from torch import Tensor

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
    table["quality"] = quality.fitted(
        table.get("quality", []),
        held_out,
        opened.roots,
        table.pop("quality_limits", {}),
    )
    ways = (*opened.ways, *(Variant(stretch=s) for s in _STRETCHES))
    scores = score(
        opened.engine, opened.roots, [(r, v) for r in held_out for v in ways]
    )
    domain = fit_domain(opened, scores, table.pop("domain"))
    heads = [_calibrated(opened, scores, head) for head in opened.heads]
    content = _content(opened, table, heads, domain)
    with tempfile.TemporaryDirectory() as draft:
        save(Path(draft), content)
        bundle = load(Path(draft))
    evaluation = evaluate(
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
    content.table["reference"] = reference(bundle, opened)
    content.table["evaluation"] = _summary(evaluation)
    template = spec.with_name(spec.name.replace(".bundle.toml", ".card.md"))
    texts = _texts(opened, content.table, template, evaluation)
    final = Content(content.table, content.tensors, texts)
    return save(folder, final), evaluation


def _of_ways(run: Run, scores: Scores) -> Scores | None:
    """The scores of a full evaluation, if the network was scored in all its ways."""
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


def _calibrated(run: Run, scores: Scores, head: dict[str, Any]) -> dict[str, Any]:
    """The head's temperature, and whether its probabilities earn their name."""
    known, target = _judged(scores, head)
    logits = known.logits[head["name"]]
    activation = head["activation"]
    temperature = calibration.fit_temperature(logits, target, activation)
    fitted = calibration.cross_fitted(logits, target, activation, known.patients)
    error = metrics.calibration_error(*metrics.top_class(fitted, target))
    n_images = len({row.path for row in known.rows})
    return {
        "name": head["name"],
        "classes": list(head["classes"]),
        "activation": activation,
        **({"parents": head["parents"]} if head.get("parents") else {}),
        "temperature": round(temperature, 4),
        "sources": _trained_on(run, head),
        "calibrated": n_images >= _ENOUGH_TO_CALIBRATE and error <= _LARGEST_ERROR,
        "conformal": _conformal(
            calibration.probabilities(logits, activation, temperature), target
        ),
    }


def _conformal(
    probabilities: NDArray[np.float64], target: NDArray[np.float64]
) -> dict[str, Any] | None:
    """Class-conditional quantiles of 1 - p for sets that miss a class at most so often.

    Of a head with one class they are of absent and present. None for heads of several
    answers at once, and where too few images make a quantile infinite.
    """
    if probabilities.shape[1] == 1:
        probabilities = np.hstack([1 - probabilities, probabilities])
        target = np.hstack([1 - target, target])
    if not np.isin(target, (0, 1)).all() or (target.sum(1) != 1).any():
        return None
    quantiles = calibration.class_quantiles(probabilities, target.argmax(1), _MISS)
    if not np.isfinite(quantiles).all():
        return None
    return {"miss": _MISS, "quantiles": [round(float(q), 6) for q in quantiles]}


def _trained_on(run: Run, head: dict[str, Any]) -> list[str]:
    """Sources whose labels the head learned from; none named when it was all."""
    if head["made"]:
        return []
    rows = run.split("train")
    answer = targets(rows, head_of(head))
    usable = np.flatnonzero(~np.isnan(answer).any(1))
    return sorted({rows[index].source for index in usable})


def _judged(scores: Scores, head: dict[str, Any]) -> tuple[Scores, NDArray[np.float64]]:
    """Real images whose answer is known, and that answer; phantoms would flatter."""
    real = scores.where(scores.sources != "phantom")
    scores = real if real.rows else scores
    if head["made"] == "rotation":
        turns = np.array([variant.turns for variant in scores.variants])
        return scores, np.eye(len(head["classes"]))[turns]
    if head["made"] == "inversion":
        inverted = np.array([[variant.inverted] for variant in scores.variants])
        return scores, inverted.astype(np.float64)
    if head["made"] == "mirror":
        plain = scores.where(np.array([not v.inverted for v in scores.variants]))
        # asked of upright images: a turned one is to be put right first
        yes = np.array([[v.mirrored and not v.turns] for v in plain.variants])
        return plain, yes.astype(np.float64)
    answer = targets(scores.rows, head_of(head))
    usable = scores.upright & ~np.isnan(answer).any(1)
    return scores.where(usable), answer[usable].astype(np.float64)


def _content(
    run: Run, table: dict[str, Any], heads: list[dict[str, Any]], domain: Domain
) -> Content:
    by_name = {head["name"]: head for head in heads}
    labels = [
        {
            **label,
            "index": by_name[label["head"]]["classes"].index(label["name"]),
            "calibrated": by_name[label["head"]]["calibrated"],
        }
        for label in table["labels"]
    ]
    full = {
        **table,
        "labels": labels,
        "heads": heads,
        "network": run.recipe["network"],
        "preset": run.engine.preset.to_dict(),
        "domain": {"limit": round(domain.limit, 4), "kinds": list(domain.kinds)},
        "parameters": _parameters(run, labels, heads, domain),
        "training": {
            "recipe": run.recipe,
            "manifest_sha256": manifest.digest(run.rows),
        },
    }
    return Content(full, _tensors(run, domain, labels))


def _parameters(
    run: Run,
    labels: Sequence[dict[str, Any]],
    heads: Sequence[dict[str, Any]],
    domain: Domain,
) -> dict[str, str]:
    """What a report prints of how the result came about."""
    preset = run.engine.preset
    points = [
        f"{label['name']} {label['operating_point']:g}"
        f" ({label['grey_low']:g} to {label['grey_high']:g} undetermined)"
        for label in labels
    ]
    return {
        "preset": f"letterbox {preset.size} px, border {preset.border:g}, per-image"
        f" standardisation, version {preset.version}",
        "operating points": "home: " + "; ".join(points),
        "temperatures": ", ".join(f"{h['name']} {h['temperature']:g}" for h in heads),
        "domain limit": f"{domain.limit:.3f}",
    }


def _tensors(
    run: Run, domain: Domain, labels: Sequence[dict[str, Any]]
) -> dict[str, Tensor]:
    """Weights, domain, and an image with the logits it must always give."""
    phantom = chest(_TEST_SEED, view="PA", rows=_TEST_ROWS, columns=_TEST_COLUMNS)
    image = torch.from_numpy(np.rint(phantom / 4095 * 255).astype(np.uint8))
    output = run.engine.run([(image.float() / 255).numpy()])
    logits = [float(output.logits[x["head"]][0][x["index"]]) for x in labels]
    tensors = {MODEL + n: t for n, t in run.engine.network.state_dict().items()}
    return {
        **tensors,
        DOMAIN + "whitening": domain.whitening,
        DOMAIN + "means": domain.means,
        TEST + "image": image,
        TEST + "logits": torch.tensor(logits),
    }
