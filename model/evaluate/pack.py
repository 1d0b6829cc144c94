"""A finished run becomes a bundle: calibrate, fit the domain, evaluate, write."""

from __future__ import annotations

import json
import tempfile
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from model import calibration, metrics
from model.bundle import load, save
from model.bundle.domain import Domain, fit
from model.bundle.errors import BundleError
from model.bundle.serve import DOMAIN, MODEL, TEST, Engine
from model.bundle.weights import read_tensors
from model.bundle.write import Content
from model.data import manifest
from model.data.dataset import targets
from model.evaluate.card import card
from model.evaluate.figures import Evaluation, evaluate
from model.evaluate.report import render
from model.evaluate.scoring import AS_IS, EVERY_WAY, Scores, Variant, score
from model.network import Head, build, n_parameters
from model.phantom import chest
from model.transforms import EvalPreset

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from torch import Tensor

    from model.bundle import Description
    from model.data.manifest import Row

_STRETCHES = (0.72, 1.4)
_ENOUGH_TO_CALIBRATE = 300
_LARGEST_ERROR = 0.02
_TEST_SEED, _TEST_ROWS, _TEST_COLUMNS = 7, 144, 126


@dataclass(frozen=True)
class Run:
    """A run folder, opened: recipe and rows as stored, the engine with its weights.

    note: of `note.txt`, what happened in this run that its recipe does not say.
    """

    recipe: dict[str, Any]
    rows: tuple[Row, ...]
    engine: Engine
    roots: tuple[Path, ...]
    note: str = ""

    def split(self, name: str) -> list[Row]:
        """Rows of one split."""
        return [row for row in self.rows if row.split == name]


def pack(
    run: Path, data: Path, spec: Path, folder: Path, *, draws: int = 2000
) -> tuple[Description, Evaluation]:
    """Make the bundle of a run; returns its description and its evaluation.

    spec: TOML with what the bundle says of itself, beside a `.card.md` of the same
    name. Temperatures and the domain's limit are set on the validation split, never on
    the training images. Raises BundleError when the run is not finished.
    """
    opened = open_run(run, data)
    table = tomllib.loads(spec.read_text(encoding="utf-8"))
    table["training_note"] = opened.note
    held_out = opened.split("val")
    ways = (*EVERY_WAY, *(Variant(stretch=s) for s in _STRETCHES))
    scores = score(
        opened.engine, opened.roots, [(r, v) for r in held_out for v in ways]
    )
    domain = _fit_domain(opened, scores, table.pop("domain"))
    heads = [_calibrated(opened, scores, head) for head in opened.recipe["heads"]]
    content = _content(opened, table, heads, domain)
    template = spec.with_name(spec.name.replace(".bundle.toml", ".card.md"))
    with tempfile.TemporaryDirectory() as draft:
        save(Path(draft), content)
        evaluation = evaluate(load(Path(draft)), held_out, opened.roots, draws=draws)
    facts = {
        "table": content.table,
        "rows": opened.rows,
        "recipe": opened.recipe,
        "n_parameters": n_parameters(opened.engine.network),
    }
    texts = {
        "model_card.md": card(template.read_text("utf-8"), facts, evaluation),
        "report/evaluation.json": json.dumps(evaluation.to_dict(), indent=1) + "\n",
        "report/report.html": render(evaluation),
    }
    final = Content(content.table, content.tensors, texts)
    return save(folder, final), evaluation


def open_run(run: Path, data: Path) -> Run:
    """Read recipe, manifest and weights of a run folder."""
    for name in ("recipe.json", "manifest.csv", "model.safetensors"):
        if not (run / name).is_file():
            raise BundleError(f"{run.name} has no {name}: train it to the end first")
    recipe: dict[str, Any] = json.loads((run / "recipe.json").read_text("utf-8"))
    heads = [_head(item) for item in recipe["heads"]]
    network = build(
        recipe["network"]["architecture"],
        heads,
        feature_stride=recipe["network"]["feature_stride"],
    )
    network.load_state_dict(read_tensors(run / "model.safetensors"))
    network.eval()
    preset = EvalPreset.from_dict(recipe["eval_preset"])
    engine = Engine(network, preset, torch.device("cpu"))
    rows = tuple(manifest.read(run / "manifest.csv"))
    note = run / "note.txt"
    said = note.read_text("utf-8").strip() if note.is_file() else ""
    return Run(recipe, rows, engine, (data, run), said)


def _kinds(scores: Scores) -> list[str]:
    return [
        f"{row.source}/{row.view}/{variant.turns}/{variant.inverted}"
        for row, variant in zip(scores.rows, scores.variants, strict=True)
    ]


def _fit_domain(run: Run, held_out: Scores, settings: dict[str, Any]) -> Domain:
    """Means and covariance from the training split, the limit from validation.

    Training images are scored as they are and in one random way each, also stretched,
    because the sources were squeezed to squares and a hospital's images are not.
    """
    random = np.random.default_rng(int(run.recipe["seed"]))
    training = run.split("train")
    jobs = [(row, AS_IS) for row in training]
    jobs += [(row, _random_variant(random)) for row in training]
    known = score(run.engine, run.roots, jobs)
    fitted = fit(known.vectors, _kinds(known), float(settings["shrinkage"]))
    whitening, means, kinds = fitted
    unlimited = Domain(whitening, means, np.inf, kinds)
    nearest, _ = unlimited.nearest(torch.from_numpy(held_out.vectors).float())
    distances, sources = nearest.numpy(), held_out.sources
    one_way = np.array([_n_changes(variant) <= 1 for variant in held_out.variants])
    limits = [
        np.quantile(
            distances[one_way & (sources == source)], float(settings["quantile"])
        )
        for source in sorted(set(sources))
    ]
    return Domain(whitening, means, float(max(limits)), kinds)


def _n_changes(variant: Variant) -> int:
    """How many things are done to the image: turned, inverted, stretched."""
    return int(variant.turns > 0) + int(variant.inverted) + int(variant.stretch != 1)


def _random_variant(random: np.random.Generator) -> Variant:
    stretch = float(np.exp(random.uniform(-0.35, 0.35)))
    return Variant(int(random.integers(4)), bool(random.integers(2)), stretch)


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
        "temperature": round(temperature, 4),
        "sources": _trained_on(run, head),
        "calibrated": n_images >= _ENOUGH_TO_CALIBRATE and error <= _LARGEST_ERROR,
    }


def _trained_on(run: Run, head: dict[str, Any]) -> list[str]:
    """Sources whose labels the head learned from; none named when it was all."""
    if head["made"]:
        return []
    rows = run.split("train")
    answer = targets(rows, _head(head))
    usable = np.flatnonzero(~np.isnan(answer).any(1))
    return sorted({rows[index].source for index in usable})


def _head(item: dict[str, Any]) -> Head:
    return Head(item["name"], tuple(item["classes"]), item["activation"])


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
    answer = targets(scores.rows, _head(head))
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
