"""Several processes, one run: what they exchange. Started by torchrun.

Every process holds the same weights and works on its part of each batch. Losses are
computed on the logits of all, so that masks, weights and losses over pairs are exactly
those of one process; gradients are then summed. Batch normalisation uses the statistics
of the whole batch.
"""

from __future__ import annotations

import os
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import distributed, nn

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import Tensor


@dataclass(frozen=True)
class Group:
    """rank: this process, from 0. world: how many there are."""

    rank: int = 0
    world: int = 1

    @property
    def first(self) -> bool:
        """Whether this process writes the files."""
        return self.rank == 0

    def wait(self) -> None:
        """Until all are here."""
        if self.world > 1:
            distributed.barrier()

    def gather(self, part: Tensor) -> Tensor:
        """(n, ...) of each process -> (world * n, ...), in order; this process's own
        part keeps its gradient.
        """
        if self.world == 1:
            return part
        parts = [torch.empty_like(part) for _ in range(self.world)]
        distributed.all_gather(parts, part.detach().contiguous())
        parts[self.rank] = part
        return torch.cat(parts)

    def gather_values(self, values: list[Any]) -> list[Any]:
        """Plain values of all processes, in order."""
        if self.world == 1:
            return values
        found: list[list[Any]] = [[] for _ in range(self.world)]
        distributed.all_gather_object(found, values)
        return [value for part in found for value in part]

    def sum_gradients(self, model: nn.Module) -> None:
        """Replace every gradient by its sum over the processes, in one exchange."""
        if self.world == 1:
            return
        gradients = [p.grad for p in model.parameters() if p.grad is not None]
        flat = torch.cat([gradient.flatten() for gradient in gradients])
        distributed.all_reduce(flat)
        start = 0
        for gradient in gradients:
            part = flat[start : start + gradient.numel()]
            gradient.copy_(part.view_as(gradient))
            start += gradient.numel()

    def synchronised(self, model: nn.Module) -> nn.Module:
        """The model with batch normalisation over the batches of all processes."""
        if self.world > 1:
            for parent in list(model.modules()):
                for name, child in list(parent.named_children()):
                    if type(child) is nn.BatchNorm2d:
                        setattr(parent, name, _synchronised(child, self.world))
        return model


def own_device(name: str) -> torch.device:
    """The device of this process: with torchrun, each has an accelerator of its own."""
    device = torch.device(name)
    torch.backends.cudnn.benchmark = device.type == "cuda"  # one shape, many steps
    if name == "cuda" and "LOCAL_RANK" in os.environ:
        device = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
        torch.cuda.set_device(device)
    return device


@contextmanager
def joined(device: torch.device) -> Iterator[Group]:
    """The group that torchrun started this process in; alone without torchrun."""
    world = int(os.environ.get("WORLD_SIZE", "1"))
    if world == 1:
        yield Group()
        return
    distributed.init_process_group("nccl" if device.type == "cuda" else "gloo")
    try:
        yield Group(distributed.get_rank(), world)
    finally:
        distributed.destroy_process_group()


class _Sum(torch.autograd.Function):
    """Sum over the processes, forwards and backwards."""

    @staticmethod
    def forward(_: Any, value: Tensor) -> Tensor:
        summed = value.clone()
        distributed.all_reduce(summed)
        return summed

    @staticmethod
    def backward(_: Any, *gradients: Tensor) -> Tensor:
        summed = gradients[0].clone()
        distributed.all_reduce(summed)
        return summed


class SyncedNorm(nn.BatchNorm2d):
    """Batch normalisation with mean and variance of all processes, on any device
    (torch.nn.SyncBatchNorm is for accelerators only).
    """

    world = 1

    def forward(self, x: Tensor) -> Tensor:
        """(batch, C, r, c) -> the same shape."""
        if not self.training:
            return super().forward(x)
        mean = _sum(x.mean((0, 2, 3))) / self.world
        centred = x - mean[:, None, None]
        variance = _sum(centred.square().mean((0, 2, 3))) / self.world
        self._remember(mean.detach(), variance.detach(), x.numel() // x.shape[1])
        scale = self.weight * (variance + self.eps).rsqrt()
        return centred * scale[:, None, None] + self.bias[:, None, None]

    @torch.no_grad()
    def _remember(self, mean: Tensor, variance: Tensor, n_here: int) -> None:
        n = n_here * self.world
        part = self.momentum or 0.1
        if self.running_mean is None or self.running_var is None:
            return
        self.running_mean.lerp_(mean, part)
        self.running_var.lerp_(variance * n / max(1, n - 1), part)
        if self.num_batches_tracked is not None:
            self.num_batches_tracked.add_(1)


def _sum(value: Tensor) -> Tensor:
    summed: Tensor = _Sum.apply(value)
    return summed


def _synchronised(norm: nn.BatchNorm2d, world: int) -> SyncedNorm:
    ours = SyncedNorm(norm.num_features, norm.eps, norm.momentum)
    ours.load_state_dict(norm.state_dict())
    ours.world = world
    return ours
