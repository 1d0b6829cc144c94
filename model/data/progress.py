"""Progress bars on standard error, so standard output stays for results."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from rich.console import Console
from rich.progress import track

if TYPE_CHECKING:
    from collections.abc import Iterable

T = TypeVar("T")


def progress(
    items: Iterable[T], description: str, total: int | None = None
) -> Iterable[T]:
    """The items, with a bar where standard error is a terminal."""
    console = Console(stderr=True)
    return track(
        items,
        description=description,
        total=total,
        console=console,
        disable=not console.is_terminal,
    )
