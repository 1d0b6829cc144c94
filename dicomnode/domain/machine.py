"""State machines as tables: who may cause which change of state."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Generic, TypeVar

from dicomnode.errors import IllegalTransition

S = TypeVar("S", bound=StrEnum)


@dataclass(frozen=True, slots=True)
class Arrow(Generic[S]):
    """One row of a table: ``event``, caused by ``actor``, leads before -> after."""

    before: S
    event: str
    after: S
    actor: str


class StateMachine(Generic[S]):
    """Looks transitions up in a table; the diagrams of the docs are printed from it."""

    def __init__(self, name: str, arrows: Iterable[Arrow[S]]) -> None:
        self.name = name
        self.arrows = tuple(arrows)
        self._after = {
            (arrow.before, arrow.event): arrow.after for arrow in self.arrows
        }

    def after(self, state: S, event: str) -> S:
        """The state that ``event`` leads to; raises IllegalTransition for no arrow."""
        try:
            return self._after[state, event]
        except KeyError:
            message = (
                f"a {self.name} in state {state} cannot {event}; "
                f"look at `dicomnode show` for where it stands now"
            )
            raise IllegalTransition(message) from None

    def allows(self, state: S, event: str) -> bool:
        """Whether the table has an arrow for ``event`` from ``state``."""
        return (state, event) in self._after

    def sources(self, event: str) -> tuple[S, ...]:
        """Every state that ``event`` may start from, in table order."""
        return tuple(arrow.before for arrow in self.arrows if arrow.event == event)

    def mermaid(self) -> str:
        """The table as a Mermaid state diagram, for the docs."""
        lines = [
            f"    {arrow.before} --> {arrow.after}: {arrow.event} ({arrow.actor})"
            for arrow in self.arrows
        ]
        return "\n".join(["stateDiagram-v2", *lines])
