"""What is written in a bundle: its description, its tensors, its test vector."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from model.bundle.serve import DOMAIN, MODEL, TEST
from model.bundle.write import Content
from model.data import manifest
from model.phantom import chest

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from model.bundle.domain import Domain
    from model.evaluate.runs import Run

_TEST_SEED, _TEST_ROWS, _TEST_COLUMNS, _TEST_STEP = 7, 144, 126, 3


def content(
    run: Run, table: dict[str, Any], heads: list[dict[str, Any]], domain: Domain
) -> Content:
    """bundle.json and tensors of a run, from what was measured of it."""
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
        "network": run.network,
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
    fixed = preset.normalise == "fixed"
    greys = "fixed windows" if fixed else "per-image standardisation"
    points = [
        f"{label['name']} {label['operating_point']:g}"
        f" ({label['grey_low']:g} to {label['grey_high']:g} undetermined)"
        for label in labels
    ]
    return {
        "preset": f"letterbox {preset.size} px, border {preset.border:g}, {greys},"
        f" version {preset.version}",
        "operating points": "home: " + "; ".join(points),
        "temperatures": ", ".join(f"{h['name']} {h['temperature']:g}" for h in heads),
        "domain limit": f"{domain.limit:.3f}",
    }


def _tensors(
    run: Run, domain: Domain, labels: Sequence[dict[str, Any]]
) -> dict[str, Tensor]:
    """Weights, domain, and an image with the logits it must always give."""
    image = _test_image(run.look.channels)
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


def _test_image(channels: int) -> Tensor:
    """uint8 (rows, columns) or (channels, rows, columns): each plane a bit lower."""
    phantom = chest(_TEST_SEED, view="PA", rows=_TEST_ROWS, columns=_TEST_COLUMNS)
    plane = torch.from_numpy(np.rint(phantom / 4095 * 255).astype(np.uint8))
    if channels == 1:
        return plane
    return torch.stack([plane.roll(_TEST_STEP * n, 0) for n in range(channels)])
