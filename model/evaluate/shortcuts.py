"""The shortcut gate: has a model shown that it reads the picture?"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from model.metrics import Figure


def shortcut_gate(model: Figure, baselines: Mapping[str, Figure]) -> list[str]:
    """Why a bundle must not be packed, in words; empty when nothing is against it.

    model: its AUROC. baselines: what reaches an AUROC without looking at the anatomy
    (`metadata`, `file size`), by name, on the same images. A model is refused when the
    lower end of its interval is not above the upper end of a baseline's, or when
    either does not exist: what was not measured was not shown.
    """
    refusals = [] if baselines else ["no baseline without pixels was measured"]
    refusals += [
        f"AUROC {model} is not above {baseline} of {name} alone"
        for name, baseline in baselines.items()
        if not model.low > baseline.high  # also true for NaN
    ]
    remedy = "; gather images in which it says less, or do not pack this model"
    return [refusal + remedy for refusal in refusals]
