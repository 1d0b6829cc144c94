"""Heads, and the classifier that puts them on a trunk."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from torch import Tensor, nn

from model.network import hierarchy

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

Activation = Literal["softmax", "sigmoid"]


@dataclass(frozen=True)
class Head:
    """One question. softmax: exactly one class is true; sigmoid: each on its own.

    parents: of a sigmoid head, for each class the index of the class that it is a kind
    of, -1 for none; empty when no class has one. In training such a head says how
    probable a class is where its parent is true, afterwards how probable it is.
    """

    name: str
    classes: tuple[str, ...]
    activation: Activation = "softmax"
    parents: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if self.activation not in ("softmax", "sigmoid"):
            raise ValueError(
                f"head {self.name}: activation {self.activation!r} is unknown:"
                " use 'softmax' or 'sigmoid'"
            )
        least = 2 if self.activation == "softmax" else 1
        if len(self.classes) < least:
            raise ValueError(
                f"head {self.name} needs at least {least} classes: add them"
            )
        if self.parents:
            hierarchy.check(self.name, self.activation, self.parents, len(self.classes))

    def probabilities(self, logits: Tensor) -> Tensor:
        """(batch, classes) -> (batch, classes), each row by this head's activation."""
        return logits.softmax(1) if self.activation == "softmax" else logits.sigmoid()


def head_of(item: Mapping[str, Any]) -> Head:
    """The head of a recipe or a bundle as stored, where parents go by name."""
    classes, parents = tuple(item["classes"]), item.get("parents") or {}
    named = [parents.get(name) for name in classes] if parents else []
    places = tuple(-1 if name is None else classes.index(name) for name in named)
    return Head(item["name"], classes, item["activation"], places)


class Output(NamedTuple):
    """logits: head name -> (batch, classes). features: (batch, C, n, n)."""

    logits: dict[str, Tensor]
    features: Tensor
    pooled: Tensor


class Classifier(nn.Module):
    """Trunk, global average pooling, dropout (in training) and linear heads."""

    def __init__(
        self, trunk: nn.Module, width: int, heads: Sequence[Head], dropout: float = 0.0
    ) -> None:
        super().__init__()
        self.trunk = trunk
        self.width = width
        self.layout = tuple(heads)
        self.dropout = nn.Dropout(dropout)
        self.heads = nn.ModuleDict(
            {head.name: nn.Linear(width, len(head.classes)) for head in heads}
        )

    def forward(self, images: Tensor) -> Output:
        """(batch, 1, N, N) -> logits per head, feature map and pooled features."""
        return self.read(self.trunk(images))

    def read(self, features: Tensor) -> Output:
        """What the heads say of a feature map, (batch, width, n, n)."""
        pooled = features.mean((2, 3))  # (batch, width)
        kept = self.dropout(pooled)
        logits = {name: linear(kept) for name, linear in self.heads.items()}
        for head in () if self.training else self.layout:
            if head.parents:
                composed = hierarchy.composed(logits[head.name], head.parents)
                logits[head.name] = composed
        return Output(logits, features, pooled)
