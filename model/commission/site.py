"""From local rows to a site addendum: score, fit, measure, write."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from model import metrics
from model.bundle import BundleError, load
from model.bundle import addendum as addenda
from model.bundle.serve import Bundle
from model.bundle.watch import columns, is_undetermined
from model.commission import fitting, local_figures
from model.commission.observing import Scored, score
from model.commission.questions import Question, questions
from model.monitor import OUTSIDE, UNDETERMINED, build_reference

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from model.bundle import Description, Label, Prediction, SeriesPrediction
    from model.data.manifest import Row

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
    """Write the site addendum of a bundle from labelled local images or series.

    rows: at least 20 with an answer, 5 of each. Raises BundleError when there are too
    few, or when the bundle does not tell the answers apart at this site.
    """
    bundle = load(folder, public_key=stamp.public_key)
    unit = "images" if bundle.description.input.series is None else "series"
    if not any(_is_enough(label, rows) for label in bundle.description.labels):
        raise BundleError(
            f"too few labelled {unit}: at least {fitting.LEAST_IMAGES} of one head,"
            f" {fitting.LEAST_OF_EACH} of each answer, are needed; label more"
        )
    scored = score(bundle, rows, roots)
    asked = [one for one in questions(bundle, rows, scored.logits) if one.is_enough]
    for one in asked:
        _check_tells_apart(one)
    table = _table(bundle, asked, scored, stamp) | {"unit": unit}
    site = _at_site(bundle, table)
    predictions = scored.at_site(site)
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


def _is_enough(label: Label, rows: Sequence[Row]) -> bool:
    """Before anything is read, which may take long."""
    said = [row.labels[label.name] for row in rows if label.name in row.labels]
    return fitting.enough(np.array([one == 1 for one in said if one in (0, 1)], bool))


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
    bundle: Bundle, asked: Sequence[Question], scored: Scored, stamp: Stamp
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
    labels: Sequence[Label], predictions: Sequence[Prediction | SeriesPrediction]
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
