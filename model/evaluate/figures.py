"""What is reported of a bundle: every figure with its number of images and interval."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from model import calibration, metrics
from model.data.dataset import locate, read_image
from model.evaluate.scoring import AS_IS, EVERY_WAY, Scores, score
from model.metrics import Figure

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from model.bundle.serve import Bundle
    from model.data.manifest import Row
    from model.network import Head

_BLANKED = 0.12
_TOO_FEW = 20


@dataclass(frozen=True)
class Entry:
    """One line of the report."""

    section: str
    name: str
    on: str
    figure: Figure
    note: str = ""


@dataclass(frozen=True)
class Evaluation:
    """entries: the table. curves: name -> points to draw."""

    bundle: str
    entries: tuple[Entry, ...]
    curves: dict[str, list[tuple[float, float]]] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """As written to evaluation.json."""
        return asdict(self)

    def find(self, section: str, name: str, on: str) -> Figure:
        """The figure of one line; KeyError when there is none."""
        for entry in self.entries:
            if (entry.section, entry.name, entry.on) == (section, name, on):
                return entry.figure
        raise KeyError(f"no figure {section} / {name} / {on}: see evaluation.json")


def evaluate(
    bundle: Bundle, rows: Sequence[Row], roots: Sequence[Path], *, draws: int = 2000
) -> Evaluation:
    """All figures of a bundle on the given rows (usually the validation split).

    Each image is scored upright and turned, plain and inverted, through the engine of
    service. draws: bootstrap draws.
    """
    jobs = [(row, variant) for row in rows for variant in EVERY_WAY]
    scores = score(bundle.parts.engine, roots, jobs)
    judge = _Judge(bundle, draws)
    entries: list[Entry] = []
    curves: dict[str, list[tuple[float, float]]] = {}
    for head in bundle.parts.engine.network.layout:
        if head.name == "view":
            entries += _view(judge, scores, roots)
            curves.update(_view_curves(judge, scores))
        elif head.name == "rotation":
            entries += _rotation(judge, scores)
        elif head.name == "inversion":
            entries += _inversion(judge, scores)
    entries += _domain(judge, scores)
    name = f"{bundle.description.name} {bundle.description.version}"
    return Evaluation(name, tuple(entries), curves)


class _Judge:
    """The bundle's own calibration and operating points, applied to logits."""

    def __init__(self, bundle: Bundle, draws: int) -> None:
        self._bundle = bundle
        self.engine = bundle.parts.engine
        self.draws = draws
        self.labels = {label.name: label for label in bundle.description.labels}

    def head(self, name: str) -> Head:
        return next(h for h in self.engine.network.layout if h.name == name)

    def probabilities(self, scores: Scores, name: str) -> NDArray[np.float64]:
        temperature = self._bundle.parts.temperatures[name]
        head = self.head(name)
        return calibration.probabilities(
            scores.logits[name], head.activation, temperature
        )

    def refused(self, scores: Scores) -> NDArray[np.bool_]:
        domain = self._bundle.parts.domain
        distances, _ = domain.nearest(torch.from_numpy(scores.vectors).float())
        return np.asarray(distances.numpy() > domain.limit)

    def abstained(self, scores: Scores, name: str) -> NDArray[np.bool_]:
        """Where the head was never trained on the nearest kind of image."""
        _, nearest = self._bundle.parts.domain.nearest(
            torch.from_numpy(scores.vectors).float()
        )
        known = self._bundle.parts.knows(name)
        return np.array([not known[int(kind)] for kind in nearest])

    def auroc(
        self, values: NDArray[np.float64], positive: NDArray[np.bool_], scores: Scores
    ) -> Figure:
        return metrics.auroc_figure(values, positive, scores.patients, draws=self.draws)

    def share(self, right: NDArray[np.bool_], scores: Scores) -> Figure:
        return metrics.share_figure(right, scores.patients, draws=self.draws)

    def calibration(
        self, scores: Scores, name: str, target: NDArray[np.float64]
    ) -> Figure:
        """Cross-fitted over patients, of the most probable class."""
        head = self.head(name)
        fitted = calibration.cross_fitted(
            scores.logits[name], target, head.activation, scores.patients
        )
        return metrics.calibration_figure(
            *metrics.top_class(fitted, target), scores.patients, draws=self.draws
        )


def _with_view(scores: Scores) -> Scores:
    """Upright images whose view may be used: known and not masked."""
    usable = np.array(
        ["view" not in row.mask and "view-AP" in row.labels for row in scores.rows]
    )
    return scores.where(scores.upright & usable)


def _is_ap(scores: Scores) -> NDArray[np.bool_]:
    return np.array([row.labels["view-AP"] == 1 for row in scores.rows])


def _view(judge: _Judge, scores: Scores, roots: Sequence[Path]) -> list[Entry]:
    entries: list[Entry] = []
    known = _with_view(scores)
    for source in sorted(set(known.sources)):
        part = known.where(known.sources == source)
        ap = _is_ap(part)
        if min(ap.sum(), (~ap).sum()) < _TOO_FEW:
            continue
        entries += _view_of(judge, part, source)
        entries += _shortcuts(judge, part, source, roots)
    for source, part in _by_source(scores.where(scores.upright)):
        silent = judge.share(judge.abstained(part, "view"), part)
        entries.append(Entry("view", "abstains: kind not trained on", source, silent))
    return entries


def _view_of(judge: _Judge, part: Scores, source: str) -> list[Entry]:
    ap = _is_ap(part)
    p = judge.probabilities(part, "view")[:, 1]
    target = np.stack([~ap, ap], 1).astype(np.float64)
    label = judge.labels["view-AP"]
    unsure = (p > 1 - label.grey_high) & (p < label.grey_high)
    wrong = ~unsure & ((p >= label.operating_point) != ap)
    return [
        Entry("view", "AUROC of AP against PA", source, judge.auroc(p, ap, part)),
        Entry(
            "view",
            "accuracy at the operating point",
            source,
            judge.share((p >= label.operating_point) == ap, part),
        ),
        Entry("view", "undetermined", source, judge.share(unsure, part)),
        Entry("view", "wrong and determined", source, judge.share(wrong, part)),
        Entry(
            "view",
            "calibration error, 10 bins of equal mass, cross-fitted",
            source,
            judge.calibration(part, "view", target),
        ),
    ]


def _shortcuts(
    judge: _Judge, part: Scores, source: str, roots: Sequence[Path]
) -> list[Entry]:
    """What reaches as far without looking at the anatomy."""
    ap = _is_ap(part)
    preset = replace(judge.engine.preset, border=_BLANKED)
    engine = replace(judge.engine, preset=preset)
    blanked = score(engine, roots, [(row, AS_IS) for row in part.rows])
    margin = blanked.logits["view"][:, 1] - blanked.logits["view"][:, 0]
    paths = [locate(row, roots) for row in part.rows]
    sizes = np.array([path.stat().st_size for path in paths], np.float64)
    spreads = np.array([float(read_image(path).std()) for path in paths])
    baselines = {
        "file size": sizes,
        "standard deviation of the pixels": spreads,
    }
    entries = [
        Entry(
            "shortcuts",
            f"AUROC of the view with the outer {_BLANKED:.0%} blanked",
            source,
            judge.auroc(margin, ap, blanked),
        )
    ]
    for name, values in baselines.items():
        signed = values if metrics.auroc(values, ap) >= 0.5 else -values  # noqa: PLR2004
        figure = judge.auroc(signed, ap, part)
        entries.append(Entry("shortcuts", f"AUROC of {name} alone", source, figure))
    return entries


def _rotation(judge: _Judge, scores: Scores) -> list[Entry]:
    plain = scores.where(np.array([not v.inverted for v in scores.variants]))
    entries: list[Entry] = []
    for source, part in _by_source(plain):
        turns = np.array([variant.turns for variant in part.variants])
        p = judge.probabilities(part, "rotation")
        entries.append(
            Entry(
                "rotation", "accuracy", source, judge.share(p.argmax(1) == turns, part)
            )
        )
        upright = part.where(turns == 0)
        alarm = _alarms(judge, p[turns == 0])
        entries.append(
            Entry(
                "rotation", "false alarms, upright", source, judge.share(alarm, upright)
            )
        )
        target = np.eye(p.shape[1])[turns]
        error = judge.calibration(part, "rotation", target)
        entries.append(Entry("rotation", "calibration error", source, error))
    inverted = scores.where(np.array([v.inverted for v in scores.variants]))
    turns = np.array([variant.turns for variant in inverted.variants])
    right = judge.probabilities(inverted, "rotation").argmax(1) == turns
    figure = judge.share(right, inverted)
    return [*entries, Entry("rotation", "accuracy on inverted images", "all", figure)]


def _alarms(judge: _Judge, p: NDArray[np.float64]) -> NDArray[np.bool_]:
    alarm = np.zeros(len(p), bool)
    for label in judge.labels.values():
        if label.head == "rotation":
            alarm |= p[:, label.index] >= max(label.operating_point, label.grey_high)
    return alarm


def _inversion(judge: _Judge, scores: Scores) -> list[Entry]:
    entries: list[Entry] = []
    point = judge.labels["inverted"].operating_point
    unturned = scores.where(np.array([v.turns == 0 for v in scores.variants]))
    for source, part in _by_source(unturned):
        inverted = np.array([variant.inverted for variant in part.variants])
        p = judge.probabilities(part, "inversion")[:, 0]
        area, share = judge.auroc(p, inverted, part), (p >= point) == inverted
        entries += [
            Entry("inversion", "AUROC", source, area),
            Entry("inversion", "accuracy", source, judge.share(share, part)),
        ]
    inverted = np.array([variant.inverted for variant in scores.variants])
    p = judge.probabilities(scores, "inversion")[:, 0]
    figure = judge.share((p >= point) == inverted, scores)
    return [*entries, Entry("inversion", "accuracy, any rotation", "all", figure)]


def _domain(judge: _Judge, scores: Scores) -> list[Entry]:
    refused = judge.refused(scores)
    entries: list[Entry] = []
    for source in sorted(set(scores.sources)):
        here = scores.sources == source
        as_is = here & scores.upright
        entries += [
            Entry(
                "domain",
                "refused, as they are",
                source,
                judge.share(refused[as_is], scores.where(as_is)),
            ),
            Entry(
                "domain",
                "refused, turned or inverted",
                source,
                judge.share(refused[here], scores.where(here)),
            ),
        ]
    return entries


def _by_source(scores: Scores) -> list[tuple[str, Scores]]:
    """Each source, then all of them."""
    sources = sorted(set(scores.sources))
    parts = [(source, scores.where(scores.sources == source)) for source in sources]
    return [*parts, ("all", scores)] if len(parts) > 1 else parts


def _view_curves(judge: _Judge, scores: Scores) -> dict[str, list[tuple[float, float]]]:
    known = _with_view(scores)
    if not known.rows:
        return {}
    source = max(set(known.sources), key=lambda s: int((known.sources == s).sum()))
    part = known.where(known.sources == source)
    ap, p = _is_ap(part), judge.probabilities(part, "view")[:, 1]
    return {f"ROC of the view, {source}": metrics.roc(p, ap)}
