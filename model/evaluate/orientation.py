"""Figures of the heads whose answers are made: rotation, inversion, mirror; domain."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from model.evaluate.evaluation import Entry

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from model.evaluate.judge import Judge
    from model.evaluate.scoring import Scores


def rotation(judge: Judge, scores: Scores) -> list[Entry]:
    """Quarter turns: accuracy, false alarms on upright images, calibration."""
    plain = scores.where(np.array([not v.inverted for v in scores.variants]))
    entries: list[Entry] = []
    for source, part in by_source(plain):
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


def _alarms(judge: Judge, p: NDArray[np.float64]) -> NDArray[np.bool_]:
    alarm = np.zeros(len(p), bool)
    for label in judge.labels.values():
        if label.head == "rotation":
            alarm |= p[:, label.index] >= max(label.operating_point, label.grey_high)
    return alarm


def inversion(judge: Judge, scores: Scores) -> list[Entry]:
    """Inverted grey scale: ranking and accuracy, upright and in any rotation."""
    entries: list[Entry] = []
    point = judge.labels["inverted"].operating_point
    unturned = scores.where(np.array([v.turns == 0 for v in scores.variants]))
    for source, part in by_source(unturned):
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


def mirror(judge: Judge, scores: Scores) -> list[Entry]:
    """Left-right mirror of an upright image, on images that are not inverted."""
    plain = scores.where(np.array([not v.inverted for v in scores.variants]))
    entries: list[Entry] = []
    for source, part in by_source(plain):
        turns = np.array([variant.turns for variant in part.variants])
        unturned = part.where(turns == 0)
        for on, chosen in ((source, unturned), (f"{source}, any rotation", part)):
            yes = np.array([v.mirrored and not v.turns for v in chosen.variants])
            p = judge.probabilities(chosen, "mirror")[:, 0]
            entries.append(Entry("mirror", "AUROC", on, judge.auroc(p, yes, chosen)))
        mirrored = np.array([variant.mirrored for variant in unturned.variants])
        entries += _said_mirrored(judge, source, unturned, mirrored)
    return entries


def _said_mirrored(
    judge: Judge, source: str, scores: Scores, mirrored: NDArray[np.bool_]
) -> list[Entry]:
    label = judge.labels["mirrored"]
    said = judge.probabilities(scores, "mirror")[:, 0] >= max(
        label.operating_point, label.grey_high
    )
    names = {"found, of mirrored images": mirrored, "false alarms": ~mirrored}
    return [
        Entry("mirror", name, source, judge.share(said[which], scores.where(which)))
        for name, which in names.items()
    ]


def domain(judge: Judge, scores: Scores) -> list[Entry]:
    """Refusals of the domain gate, of images as they are and changed."""
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


def by_source(scores: Scores) -> list[tuple[str, Scores]]:
    """Each source, then all of them."""
    sources = sorted(set(scores.sources))
    parts = [(source, scores.where(scores.sources == source)) for source in sources]
    return [*parts, ("all", scores)] if len(parts) > 1 else parts
