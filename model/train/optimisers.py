"""Optimisers and their learning rate, by the recipe's names."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import nn

    from model.train.config import Optimiser


def optimiser(model: nn.Module, settings: Optimiser) -> torch.optim.Optimizer:
    """AdamW (decoupled decay), Adam or SGD (decay as L2, the decay of kernels only)."""
    groups = _groups(model, settings.weight_decay)
    if settings.name == "sgd":
        return torch.optim.SGD(
            groups,
            lr=settings.learning_rate,
            momentum=settings.momentum,
            nesterov=settings.nesterov,
        )
    kind = torch.optim.AdamW if settings.name == "adamw" else torch.optim.Adam
    return kind(groups, lr=settings.learning_rate)


def learning_rate(step: int, peak: float, settings: Optimiser) -> float:
    """Linear warm-up, then constant or a cosine to zero at the last step; with a
    restart, a cosine to zero at its step and another from its own, lower rate.
    """
    if step < settings.warmup_steps:
        return peak * (step + 1) / float(settings.warmup_steps)
    if settings.schedule == "constant":
        return peak
    first, last = settings.warmup_steps, settings.restart_step or settings.steps
    if settings.restart_step and step >= settings.restart_step:
        first, last, peak = settings.restart_step, settings.steps, settings.restart_rate
    done = (step - first) / max(1, last - first)
    return peak * 0.5 * (1 + math.cos(math.pi * min(1.0, done)))


def _groups(model: nn.Module, decay: float) -> Sequence[dict[str, Any]]:
    """Weight decay on kernels only, not on norms and biases."""
    kernels = [p for p in model.parameters() if p.ndim > 1]
    others = [p for p in model.parameters() if p.ndim <= 1]
    return [
        {"params": kernels, "weight_decay": decay},
        {"params": others, "weight_decay": 0.0},
    ]
