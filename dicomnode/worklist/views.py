"""The v1 views of any database that SQLAlchemy reaches; nothing here can write."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from sqlalchemy import func, select, text

from dicomnode import views
from dicomnode.domain.delivery import DeliveryState
from dicomnode.domain.job import JobState
from dicomnode.domain.study import StudyState
from dicomnode.views import Record
from dicomnode.worklist.engine import Database
from dicomnode.worklist.schema import deliveries, jobs, revisions, studies


class Views(views.Views):
    """The v1 views, and counts by the private tables' indexes."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def close(self) -> None:
        """Close the connections."""
        self._database.close()

    def subscribe(self, ring: Callable[[], None]) -> Callable[[], None]:
        """Call ``ring`` when there is a new event; what it returns ends that."""
        return self._database.wakeups.subscribe((), ring)

    def counts(self) -> dict[str, dict[str, int]]:
        """How many are in each state: ``{"study": {"RECEIVING": 0, ...}, ...}``."""
        current = (
            select(revisions.c.state, func.count())
            .join(
                studies,
                (studies.c.study_instance_uid == revisions.c.study_instance_uid)
                & (studies.c.revision == revisions.c.revision),
            )
            .group_by(revisions.c.state)
        )
        wanted = (
            ("study", StudyState, current),
            ("job", JobState, select(jobs.c.state, func.count())),
            ("delivery", DeliveryState, select(deliveries.c.state, func.count())),
        )
        counts: dict[str, dict[str, int]] = {}
        with self._database.read() as connection:
            for name, states, query in wanted:
                rows = connection.execute(query.group_by(query.selected_columns[0]))
                found = {row[0]: row[1] for row in rows}
                counts[name] = {one.value: found.get(one.value, 0) for one in states}
        return counts

    def _run(self, query: str, values: Mapping[str, object]) -> list[Record]:
        with self._database.read() as connection:
            found = connection.execute(text(query), dict(values))
            return [dict(row) for row in found.mappings()]
