"""The worklist while it moves: a live table on a terminal, plain lines elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.live import Live
from rich.table import Table

from dicomnode.demo.cases import Case
from dicomnode.demo.outcome import Row, row_of

_STYLES = {
    "COMPLETED": "green",
    "NOT_ROUTED": "yellow",
    "FAILED": "red",
    "IN_PROGRESS": "cyan",
}
_SETTLED_DELIVERIES = frozenset({"SENT", "COMMITTED", "REJECTED", "FAILED", "CANCELED"})


class Progress:
    """Shows the studies; a context manager."""

    def __init__(self, console: Console, cases: Sequence[Case]) -> None:
        self._console = console
        self._cases = cases
        self._live = Live(console=console, refresh_per_second=8, transient=False)
        self._said: dict[str, str] = {}

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._console.is_terminal:
            self._live.stop()

    def show(self, worklist: Sequence[Row], deliveries: Sequence[Row]) -> None:
        """Draw the table again, or print a line for each study that has moved."""
        if self._console.is_terminal:
            self._live.update(self._table(worklist, deliveries), refresh=True)
            return
        for case in self._cases:
            state = state_of(row_of(case, worklist), deliveries)
            if self._said.get(case.name) != state:
                self._said[case.name] = state
                self._console.print(f"  {case.name:<12} {state}", highlight=False)

    def _table(self, worklist: Sequence[Row], deliveries: Sequence[Row]) -> Table:
        table = Table("Study", "Sent as", "State", title="Worklist (v1_worklist)")
        for case in self._cases:
            state = state_of(row_of(case, worklist), deliveries)
            style = _STYLES.get(state.partition(",")[0], "")
            table.add_row(case.title, case.transfer_syntax_uid.name, state, style=style)
        return table


def state_of(row: Row, deliveries: Sequence[Row]) -> str:
    """One study in a few words: its state, outcome and deliveries."""
    if not row:
        return "not yet sent"
    job_id = row.get("job_id")
    if not job_id:
        return str(row["study_state"])
    state = str(row["job_state"])
    if row.get("outcome"):
        state += f", {row['outcome']}"
    own = [one for one in deliveries if one["job_id"] == job_id]
    if own:
        n_done = sum(one["state"] in {"SENT", "COMMITTED"} for one in own)
        state += f", {n_done} of {len(own)} results in the PACS"
    return state


def is_settled(row: Row, deliveries: Sequence[Row]) -> bool:
    """Whether nothing more will happen to a study by itself."""
    if row.get("study_state") == "NOT_ROUTED":
        return True
    if row.get("job_state") in {"FAILED", "CANCELED"}:
        return True
    own = [one for one in deliveries if one["job_id"] == row.get("job_id")]
    return row.get("job_state") == "COMPLETED" and all(
        one["state"] in _SETTLED_DELIVERIES for one in own
    )
