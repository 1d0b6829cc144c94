"""Which roles run on which host, and since when nothing was heard of one."""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import Column, Integer, PrimaryKeyConstraint, Table, delete, update

from dicomnode.domain.hosts import FORGOTTEN_SECONDS, STALE_SECONDS, RoleProcess
from dicomnode.worklist.engine import Database
from dicomnode.worklist.schema import Instant, metadata, plain_text

roles = Table(
    "roles",
    metadata,
    Column("process", plain_text(), nullable=False),
    Column("role", plain_text(), nullable=False),
    Column("host", plain_text(), nullable=False),
    Column("pid", Integer, nullable=False),
    Column("version", plain_text(), nullable=False, server_default=""),
    Column("started_at", Instant, nullable=False),
    Column("heartbeat_at", Instant, nullable=False),
    PrimaryKeyConstraint("process"),
)


class Roles:
    """Implements ``ports.Roles``."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def beat(self, process: RoleProcess, now: datetime) -> None:
        """A sign of life; it takes the place of the silent ones of its host and role.

        What was silent for days is forgotten, wherever it was.
        """
        values = {
            "process": process.name,
            "role": process.role,
            "host": process.host,
            "pid": process.pid,
            "version": process.version,
            "started_at": process.started_at,
            "heartbeat_at": now,
        }
        stale = now - timedelta(seconds=STALE_SECONDS)
        forgotten = now - timedelta(seconds=FORGOTTEN_SECONDS)
        ours = (roles.c.host == process.host) & (roles.c.role == process.role)
        old = (roles.c.heartbeat_at < forgotten) | (
            ours & (roles.c.heartbeat_at < stale)
        )
        with self._database.write() as transaction:
            if not transaction.insert_missing(roles, values):
                transaction.execute(
                    update(roles)
                    .where(roles.c.process == process.name)
                    .values(heartbeat_at=now, started_at=process.started_at)
                )
            transaction.execute(delete(roles).where(old))

    def leave(self, process: RoleProcess) -> None:
        """It ends in order: nobody need miss it."""
        with self._database.write() as transaction:
            transaction.execute(delete(roles).where(roles.c.process == process.name))
