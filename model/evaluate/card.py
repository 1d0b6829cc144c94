"""The model card: a template in plain words, filled with what was measured."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from model.evaluate.report import markdown

if TYPE_CHECKING:
    from collections.abc import Sequence

    from model.data.manifest import Row
    from model.evaluate.figures import Evaluation


def card(template: str, facts: dict[str, Any], evaluation: Evaluation) -> str:
    """Fill a card. facts: `table` (bundle.json), `rows` (manifest), `recipe`."""
    table, recipe = facts["table"], facts["recipe"]
    heads = {head["name"]: head for head in table["heads"]}
    balance = recipe["balance"]
    view = next((e for e in evaluation.entries if e.section == "view"), None)
    return template.format(
        version=table["version"],
        n_parameters=facts["n_parameters"],
        size=table["preset"]["size"],
        border=table["preset"]["border"],
        counts=_counts(facts["rows"]),
        n_phantoms=recipe["data"]["n_phantoms"],
        phantom_share=balance.get("phantom", 0) / (sum(balance.values()) or 1),
        steps=recipe["optimiser"]["steps"],
        batch=recipe["optimiser"]["batch"],
        training_note=table.get("training_note", ""),
        manifest_sha256=table["training"]["manifest_sha256"],
        figures=markdown(evaluation),
        n_view=view.figure.n if view else 0,
        view_calibrated=_calibrated(heads.get("view", {})),
        pneumonia_calibrated=_calibrated(heads.get("pneumonia", {})),
    )


def _calibrated(head: dict[str, Any]) -> str:
    return "calibrated" if head.get("calibrated") else "not called calibrated"


def _counts(rows: Sequence[Row]) -> str:
    training = [row for row in rows if row.split == "train"]
    images = Counter(row.source for row in training)
    patients = Counter(
        source for source, _ in {(r.source, r.patient) for r in training}
    )
    return ", ".join(
        f"{source} {images[source]} images of {patients[source]} patients"
        for source in sorted(images)
    )
