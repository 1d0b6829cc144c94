"""`python -m model advise`: what to train for a manifest, on this machine."""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from model.data.manifest import ManifestError, read
from model.network import STRIDES, Head, build
from model.train.rules import Advice, Facts, Rule, advise

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Sequence

    from model.data.manifest import Row

_TIMED_BATCH, _TIMED_STEPS = 8, 2


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the verb."""
    parser.add_argument("--manifest", type=Path, required=True)
    parser.add_argument("--hours", type=float, default=12.0, help="time for training")
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.set_defaults(verb=run)


def run(parsed: argparse.Namespace) -> str:
    """The advice as text, with the part of a recipe that follows it."""
    facts = facts_of(read(parsed.manifest))
    return as_text(facts, advise(facts, parsed.hours, measured(parsed.device)))


def facts_of(rows: Sequence[Row]) -> Facts:
    """Count; raises ManifestError when there is nothing to train on."""
    training = [row for row in rows if row.split == "train"]
    if not training:
        raise ManifestError("no row of split train: prepare the manifest with a split")
    positives: Counter[str] = Counter()
    for row in training:
        positives.update({name: int(value == 1) for name, value in row.labels.items()})
    patients = len({row.patient for row in training})
    return Facts(len(training), patients, dict(positives), noise(training))


def noise(rows: Sequence[Row]) -> float:
    """Share of labels marked uncertain or soft, or that differ within one study."""
    seen: dict[tuple[str, str], set[float]] = defaultdict(set)
    doubtful = total = 0
    for row in rows:
        doubtful += len(row.uncertain)
        total += len(row.uncertain) + len(row.labels)
        for name, value in row.labels.items():
            doubtful += value not in (0, 1)
            seen[row.study, name].add(value)
    doubtful += sum(len(values) - 1 for values in seen.values())
    return doubtful / total if total else 0.0


def measured(device: str) -> Callable[[Rule], float]:
    """rule -> images per second of forward and backward pass, timed here and now."""

    def measure(rule: Rule) -> float:
        stride = STRIDES[rule.architecture][-1]
        head = Head("x", ("x",), "sigmoid")
        network = build(rule.architecture, [head], feature_stride=stride).to(device)
        network = network.to(memory_format=torch.channels_last)
        images = torch.randn(_TIMED_BATCH, 1, rule.size, rule.size, device=device)
        seconds = []
        for _ in range(1 + _TIMED_STEPS):
            started = time.perf_counter()
            network(images).logits["x"].square().mean().backward()
            if device != "cpu":
                torch.cuda.synchronize()
            seconds.append(time.perf_counter() - started)
        return _TIMED_BATCH / min(seconds[1:])

    return measure


def as_text(facts: Facts, advice: Advice) -> str:
    """Reasons, then TOML."""
    rule = advice.rule
    labels = ", ".join(f"{n} {facts.positives[n]}" for n in sorted(facts.positives))
    return "\n".join(
        [
            *(f"# {reason}" for reason in advice.reasons),
            f"# positives: {labels or 'no labels'}",
            f"# {advice.images_per_second:.1f} images/s here:"
            f" {advice.hours:.1f} h for {rule.epochs} epochs",
            "[network]",
            f'architecture = "{rule.architecture}"',
            f"feature_stride = {STRIDES[rule.architecture][-1]}",
            "[train_preset]",
            f"size = {rule.size}",
            "[eval_preset]",
            f"size = {rule.size}",
            "[optimiser]",
            f"steps = {advice.steps}",
            f"batch = {rule.batch}",
            f"learning_rate = {rule.learning_rate:g}",
            f"label_smoothing = {advice.label_smoothing:g}",
        ]
    )
