"""The four files that the demonstration leaves."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from dicomnode.demo.failure import DemoFailed
from dicomnode.demo.outcome import Outcome
from dicomnode.demo.report import Run, page
from dicomnode.demo.settings import Place
from dicomnode.results.pictures import secondary_capture


def leave(out: Path, place: Place, outcomes: Sequence[Outcome], run: Run) -> None:
    """Write report.html, heatmap.png, result_sr.dcm and worklist.db into ``out``.

    Raises DemoFailed when no study came back with a report and a heat map.
    """
    copy_database(place.worklist, out / "worklist.db")
    (out / "report.html").write_text(page(outcomes, run), encoding="utf-8")
    best = _most_telling(outcomes)
    if best is None or best.report is None:
        raise DemoFailed(
            f"no report with a heat map came back from {run.pacs}; "
            f"read the node's log in {place.folder}, then run the demo again"
        )
    (out / "result_sr.dcm").write_bytes(best.report.part10)
    (out / "heatmap.png").write_bytes(secondary_capture(best.captures[-1]))


def copy_database(source: Path, target: Path) -> None:
    """A consistent copy of a SQLite database that others write to, in one file."""
    target.unlink(missing_ok=True)
    with (
        closing(
            sqlite3.connect(f"{source.resolve().as_uri()}?mode=ro", uri=True)
        ) as of,
        closing(sqlite3.connect(target)) as copy,
    ):
        of.backup(copy)
        # The copy inherits WAL, which would leave two more files beside it.
        copy.execute("PRAGMA journal_mode = DELETE")


def _most_telling(outcomes: Sequence[Outcome]) -> Outcome | None:
    """The study with a report and pictures that states the most."""
    shown = [one for one in outcomes if one.report and one.captures]
    # The captures are a summary, and a heat map for each finding that is present.
    return max(shown, key=lambda one: len(one.captures), default=None)
