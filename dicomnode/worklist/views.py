"""The v1 views of any database that SQLAlchemy reaches; nothing here can write."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from sqlalchemy import text

from dicomnode import views
from dicomnode.views import Record
from dicomnode.worklist.engine import Database


class Views(views.Views):
    """The v1 views through the worklist's own connections."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def close(self) -> None:
        """Close the connections."""
        self._database.close()

    def subscribe(self, ring: Callable[[], None]) -> Callable[[], None]:
        """Call ``ring`` when there is a new event; what it returns ends that."""
        return self._database.wakeups.subscribe((), ring)

    def _run(self, query: str, values: Mapping[str, object]) -> list[Record]:
        with self._database.read() as connection:
            found = connection.execute(text(query), dict(values))
            return [dict(row) for row in found.mappings()]
