"""What every reader is given and gives back."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from model.data.manifest import Row
    from model.data.split import SplitKind

_FRONTAL = ("PA", "AP", "FRONTAL")


@dataclass(frozen=True)
class Options:
    """What the user may choose; a reader looks at what concerns it.

    views: `frontal` leaves all others out. lateral_labels: count the labels of a study
    on its lateral images too. labels: which label table or report section. tables:
    folder of the tables when it is not the root. mapping, table: a single file.
    """

    views: Literal["frontal", "all"] = "frontal"
    lateral_labels: bool = False
    labels: str = ""
    test_labels: str = "radiologist"
    readers: Literal["majority", "any", "mean"] = "majority"
    tables: Path | None = None
    mapping: Path | None = None
    table: Path | None = None
    source: str = ""


@dataclass
class Tally:
    """What a reader left out, by reason, and what else the user should know."""

    left_out: Counter[str] = field(default_factory=Counter)
    notes: list[str] = field(default_factory=list)


class Read(Protocol):
    """Rows without sha256; `split` is the official part or "", `patient` may be ""."""

    def __call__(self, root: Path, options: Options, tally: Tally) -> Iterable[Row]:
        """Read the tables below root."""


class Reader(NamedTuple):
    """A layout. about: one line. takes: names of the options that concern it."""

    read: Read
    about: str
    takes: tuple[str, ...] = ()
    split: SplitKind = "official"


def admitted(
    rows: Iterable[Row], options: Options, tally: Tally, *, study_level: bool = True
) -> Iterator[Row]:
    """Rows of a data set with lateral images: views chosen, labels masked on laterals.

    study_level: the labels are of the study, so a lateral image carries findings that
    may be visible on the frontal one only.
    """
    for row in rows:
        if row.view not in _FRONTAL and options.views == "frontal":
            tally.left_out[f"view {row.view or 'unknown'} (--views all keeps it)"] += 1
            continue
        yield with_view(
            _masked(row)
            if study_level and row.view not in _FRONTAL and not options.lateral_labels
            else row
        )


def with_view(row: Row) -> Row:
    """The row with the labels that its view answers."""
    return replace(row, labels={**row.labels, **view_labels(row.view)})


def view_labels(view: str) -> dict[str, float]:
    """view-PA and view-AP, view-frontal and view-lateral, as far as the view says."""
    if view in ("PA", "AP"):
        projection = {"view-PA": float(view == "PA"), "view-AP": float(view == "AP")}
        return {**projection, "view-frontal": 1.0, "view-lateral": 0.0}
    if view in ("FRONTAL", "LATERAL"):
        frontal = float(view == "FRONTAL")
        return {"view-frontal": frontal, "view-lateral": 1.0 - frontal}
    return {}


def _masked(row: Row) -> Row:
    return replace(row, mask=row.mask | set(row.labels) | row.uncertain | row.blank)
