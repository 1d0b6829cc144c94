"""From local rows to a site addendum: score, fit, measure, write."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from model import metrics
from model.bundle import BundleError, Prediction, load
from model.bundle import addendum as addenda
from model.bundle.serve import Bundle
from model.bundle.watch import columns, is_undetermined
from model.commission import fitting, local_figures
from model.commission.questions import Question, questions
from model.data.dataset import locate, read_image
from model.monitor import OUTSIDE, UNDETERMINED, build_reference

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from model.bundle import Description, Label
    from model.data.manifest import Row

_BATCH = 16
_SPREAD = 6 * 1.4826
_CHANCE = 0.5


@dataclass(frozen=True)
class Stamp:
    """Who and when: `site` is a name for people, `at` an ISO 8601 instant in UTC.

    key: private key that signs the addendum; public_key: whose signature the bundle
    must have.
    """

    site: str
    at: str
    key: Path | None = None
    public_key: Path | None = None


@dataclass(frozen=True)
class Commissioned:
    """The written addendum: its path, the heads re-set, and the local figures."""

    path: Path
    bundle: str
    heads: tuple[str, ...]
    figures: tuple[dict[str, Any], ...]


def addendum_name(description: Description) -> str:
    """File name of a bundle's addendum, beside the bundle."""
    return f"{description.name}-{description.digest[:12]}.site.json"


def commission(
    folder: Path, rows: Sequence[Row], roots: Sequence[Path], out: Path, stamp: Stamp
) -> Commissioned:
    """Write the site addendum of a bundle from labelled local images.

    rows: at least 20 with an answer, 5 of each. Raises BundleError when there are too
    few, or when the bundle does not tell the answers apart at this site.
    """
    bundle = load(folder, public_key=stamp.public_key)
    scored = _score(bundle, rows, roots)
    asked = [one for one in questions(bundle, rows, scored.logits) if one.is_enough]
    if not asked:
        raise BundleError(
            f"too few labelled images: at least {fitting.LEAST_IMAGES} of one head,"
            f" {fitting.LEAST_OF_EACH} of each answer, are needed; label more"
        )
    for one in asked:
        _check_tells_apart(one)
    table = _table(bundle, asked, scored, stamp)
    site = _at_site(bundle, table)
    predictions = list(_predictions(site, rows, roots))
    table["reference"] = _reference(site.description.labels, predictions)
    table["figures"] = [
        *(figure for one in asked for figure in local_figures.of_question(one)),
        *local_figures.of_domain(scored.home, scored.site_distances, table["domain"]),
        *local_figures.of_findings(site.description.labels, asked, predictions, rows),
    ]
    addenda.write(out, table, stamp.key)
    name = f"{bundle.description.name} {bundle.description.version}"
    heads = tuple(table["heads"])
    return Commissioned(out, name, heads, tuple(table["figures"]))


@dataclass(frozen=True)
class _Scored:
    """logits: head -> (n, classes). home: predictions at home. mean: whitened.

    site_distances: of each image from the mean of the others.
    """

    logits: dict[str, NDArray[np.float64]]
    home: tuple[Prediction, ...]
    patients: tuple[str, ...]
    mean: NDArray[np.float64]
    site_distances: NDArray[np.float64]


def _score(bundle: Bundle, rows: Sequence[Row], roots: Sequence[Path]) -> _Scored:
    engine = bundle.parts.engine
    logits: dict[str, list[NDArray[np.float64]]] = {}
    white: list[NDArray[np.float64]] = []
    home: list[Prediction] = []
    for images in _batches(rows, roots):
        output = engine.run(images)
        for name, value in output.logits.items():
            logits.setdefault(name, []).append(value.double().numpy())
        vectors = engine.vectors(output, images)
        white.append(bundle.parts.domain.whitened(vectors).numpy())
        home += bundle.predict(images)
    if not home:
        raise BundleError("no image is named: give a table with one line per image")
    joined = {name: np.concatenate(parts) for name, parts in logits.items()}
    patients = tuple(row.patient for row in rows)
    return _Scored(joined, tuple(home), patients, *_own_domain(np.concatenate(white)))


def _own_domain(
    white: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean of the whitened vectors, and distance of each from the mean of the others.

    The mean of the others is as far again as 1 / (n - 1) of the way, hence the factor.
    """
    n, dimension = white.shape
    mean = white.mean(0)
    own = np.linalg.norm(white - mean, axis=1) / dimension**0.5
    return mean, own * n / max(1, n - 1)


def _domain_limit(distances: NDArray[np.float64]) -> float:
    """The farthest local image, unless it is an outlier among its own."""
    median = float(np.median(distances))
    spread = float(np.median(np.abs(distances - median)))
    return min(float(distances.max()), median + _SPREAD * spread)


def _check_tells_apart(asked: Question) -> None:
    low, _ = metrics.delong_interval(asked.score, asked.positive)
    if not low > _CHANCE:
        raise BundleError(
            f"{asked.label} is not told apart here (AUROC"
            f" {metrics.auroc(asked.score, asked.positive):.2f}, {low:.2f} at least):"
            " check the labels, give more studies, or do not use this bundle"
        )


def _table(
    bundle: Bundle, asked: Sequence[Question], scored: _Scored, stamp: Stamp
) -> dict[str, Any]:
    said = bundle.description
    heads: dict[str, Any] = {}
    for one in asked:
        one.put_into(heads)
    return {
        "bundle": {"name": said.name, "version": said.version, "digest": said.digest},
        "site": stamp.site,
        "made_at": stamp.at,
        "n_images": len(scored.patients),
        "n_patients": len(set(scored.patients)),
        "heads": heads,
        "points": {
            label.name: _point(label)
            for label in said.labels
            if any(label.name in one.names for one in asked)
        },
        "domain": {
            "mean": [round(float(value), 5) for value in scored.mean],
            "limit": round(_domain_limit(scored.site_distances), 4),
        },
        "reference": {},
        "figures": [],
        "notice": "Research use only. Not a medical device.",
    }


def _point(label: Label) -> dict[str, float]:
    """At 0.5 the shares of mistakes are equal; the grey zone keeps its width."""
    below = label.operating_point - label.grey_low
    above = label.grey_high - label.operating_point
    return {
        "operating_point": 0.5,
        "grey_low": round(max(0.0, 0.5 - below), 4),
        "grey_high": round(min(1.0, 0.5 + above), 4),
    }


def _at_site(bundle: Bundle, table: dict[str, Any]) -> Bundle:
    draft = addenda.parse({**table, "schema_version": addenda.SCHEMA_VERSION}, "")
    return Bundle(draft.applied_to(bundle.description), bundle.parts.at_site(draft))


def _reference(
    labels: Sequence[Label], predictions: Sequence[Prediction]
) -> dict[str, Any]:
    outside = np.mean([not one.in_domain for one in predictions])
    unsure = np.mean(
        [
            one.in_domain and is_undetermined(labels, one.probabilities)
            for one in predictions
        ]
    )
    rates = {OUTSIDE: round(float(outside), 4), UNDETERMINED: round(float(unsure), 4)}
    return build_reference(columns(predictions), rates).to_dict()


def _predictions(
    bundle: Bundle, rows: Sequence[Row], roots: Sequence[Path]
) -> Iterator[Prediction]:
    for images in _batches(rows, roots):
        yield from bundle.predict(images)


def _batches(
    rows: Sequence[Row], roots: Sequence[Path]
) -> Iterator[list[NDArray[np.float32]]]:
    for start in range(0, len(rows), _BATCH):
        chosen = rows[start : start + _BATCH]
        yield [read_image(locate(row, roots)) for row in chosen]
