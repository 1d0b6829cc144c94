"""Instances that lie in the spool of a host: only there can they be read."""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy import ColumnElement, exists, func, literal_column, select, update

from dicomnode.domain.instance import Whereabouts
from dicomnode.worklist.engine import Database
from dicomnode.worklist.schema import instances, jobs

IS_SPOOLED = instances.c.spooled_on != literal_column("''")
"""A literal, or neither database would know that the index of these rows will do."""


def not_spooled_elsewhere(host: str) -> ColumnElement[bool]:
    """The condition that no instance of a job's study waits on another host."""
    return ~exists().where(
        instances.c.study_instance_uid == jobs.c.study_instance_uid,
        IS_SPOOLED,
        instances.c.spooled_on != host,
    )


class Spools:
    """Implements ``ports.Spools``."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def whereabouts(self, locations: Collection[str]) -> dict[str, Whereabouts]:
        """What the worklist knows of files in a spool; of some it knows nothing."""
        found = (
            select(
                instances.c.location,
                func.count(instances.c.forgotten_at),
                func.count(),
            )
            .where(instances.c.location.in_(sorted(locations)))
            .group_by(instances.c.location)
        )
        with self._database.read() as connection:
            return {
                location: Whereabouts.FORGOTTEN if gone == n else Whereabouts.KEPT
                for location, gone, n in connection.execute(found)
            }

    def handed_over(self, locations: Collection[str]) -> None:
        """They are objects now, which every host can read."""
        with self._database.write() as transaction:
            transaction.execute(
                update(instances)
                .where(instances.c.location.in_(sorted(locations)))
                .where(IS_SPOOLED)
                .values(spooled_on="")
            )
