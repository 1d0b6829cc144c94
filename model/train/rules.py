"""What to train for how many images: a table, and the rules that move along it.

The sizes follow what public results share (DenseNet-121 or ConvNeXt-T at 320 pixels for
data sets of the size of CheXpert; half a point less at 224) and our own runs for small
sets, where a small network from scratch at 128 pixels is as good and far quicker.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_FEW_POSITIVES = 100
_TOO_FEW_POSITIVES = 20
_NOISY = 0.1
_LEAST_EPOCHS = 2


@dataclass(frozen=True)
class Rule:
    """up_to: images of the training part. size: pixels. batch: images."""

    up_to: float
    architecture: str
    size: int
    batch: int
    epochs: int
    learning_rate: float


TABLE = (
    Rule(2_000, "slim", 128, 48, 60, 2e-3),
    Rule(20_000, "slim", 160, 48, 25, 2e-3),
    Rule(60_000, "resnet18", 224, 64, 15, 1e-3),
    Rule(150_000, "densenet121", 224, 64, 10, 1e-3),
    Rule(math.inf, "densenet121", 320, 64, 6, 1e-3),
)


@dataclass(frozen=True)
class Facts:
    """What a manifest holds. Counts are of the training part.

    positives: label -> images with it. noise: lower bound of the share of labels that
    are in doubt (marked uncertain, or different within one study).
    """

    n_images: int
    n_patients: int
    positives: Mapping[str, int]
    noise: float


@dataclass(frozen=True)
class Advice:
    """The rule to follow, the hours it takes here, and why."""

    rule: Rule
    steps: int
    label_smoothing: float
    images_per_second: float
    hours: float
    reasons: tuple[str, ...]


def advise(facts: Facts, hours: float, measure: Callable[[Rule], float]) -> Advice:
    """Choose by the number of images, go down for few positives and for little time.

    hours: that training may take. measure: rule -> images per second of a training step
    on this machine.
    """
    place, reasons = _by_labels(facts)
    speed = measure(TABLE[place])
    while place and _hours(TABLE[place], facts, speed) > hours:
        rule = TABLE[place]
        reasons.append(
            f"{rule.architecture} at {rule.size} px would take"
            f" {_hours(rule, facts, speed):.1f} h of the {hours:g} h: one size smaller"
        )
        place -= 1
        speed = measure(TABLE[place])
    rule = TABLE[place]
    if _hours(rule, facts, speed) > hours:
        share = hours / _hours(rule, facts, speed)
        rule = replace(rule, epochs=max(_LEAST_EPOCHS, int(rule.epochs * share)))
        reasons.append(f"epochs cut to {rule.epochs} for {hours:g} h")
    return Advice(
        rule,
        steps=max(1, math.ceil(rule.epochs * facts.n_images / rule.batch)),
        label_smoothing=0.1 if facts.noise >= _NOISY else 0.03,
        images_per_second=speed,
        hours=_hours(rule, facts, speed),
        reasons=tuple(reasons),
    )


def _by_labels(facts: Facts) -> tuple[int, list[str]]:
    """Place in the table, and what there is to say about the labels."""
    place = next(i for i, rule in enumerate(TABLE) if facts.n_images <= rule.up_to)
    reasons = [f"{facts.n_images} images of {facts.n_patients} patients to train on"]
    reasons += [
        f"{label}: {n} positives are too few to train or to judge; leave it out"
        for label, n in sorted(facts.positives.items())
        if n < _TOO_FEW_POSITIVES
    ]
    if place and min(facts.positives.values(), default=math.inf) < _FEW_POSITIVES:
        place -= 1
        reasons.append(
            f"a label has fewer than {_FEW_POSITIVES} positives: one size smaller"
        )
    if facts.noise >= _NOISY:
        reasons.append(
            f"at least {facts.noise:.0%} of the labels are in doubt: smooth them, and"
            " choose a policy for uncertain labels ([data] uncertain)"
        )
    return place, reasons


def _hours(rule: Rule, facts: Facts, images_per_second: float) -> float:
    return rule.epochs * facts.n_images / images_per_second / 3600
