"""How the views are asked: rows as plain dicts, times as their text."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

Record = dict[str, Any]
"""One row of a view: column name -> value."""


class Asking(ABC):
    """Whoever can run a query."""

    @abstractmethod
    def _run(self, query: str, values: Mapping[str, object]) -> list[Record]:
        """The rows of ``query``, whose parameters are named ``:like_this``."""

    def _select(
        self,
        view: str,
        conditions: Mapping[str, object],
        order: str,
        limit: int | None = None,
        fixed: str = "",
    ) -> list[Record]:
        """Rows of ``view`` for which every condition with a value holds, and fixed."""
        asked = {term: value for term, value in conditions.items() if value is not None}
        terms = [*([fixed] if fixed else ()), *asked]
        where = f" WHERE {' AND '.join(terms)}" if terms else ""
        most = "" if limit is None else " LIMIT :limit"
        # Every part is a literal of this file; values are bound.
        query = f"SELECT * FROM {view}{where} ORDER BY {order}{most}"  # noqa: S608
        values = {term.rpartition(":")[2]: value for term, value in asked.items()}
        return self._run(query, values | ({"limit": limit} if most else {}))


def utc_text(instant: datetime) -> str:
    """``2026-01-31T12:00:00.000000Z``; raises ValueError for a naive datetime."""
    if instant.tzinfo is None:
        raise ValueError("an instant without time zone; pass aware UTC")
    text = instant.astimezone(UTC).isoformat(timespec="microseconds")
    return text.replace("+00:00", "Z")
