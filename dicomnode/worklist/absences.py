"""Destinations that cannot be reached, each with the one next attempt for all of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime

from sqlalchemy import Row, delete, select, update

from dicomnode.domain.absence import Absence, again
from dicomnode.domain.desk import said
from dicomnode.views import utc_text
from dicomnode.worklist.engine import Database, Event, Transaction
from dicomnode.worklist.schema import absences


class Absences:
    """Implements ``ports.Absences``."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def absent(
        self, destination: str, error: str, delays: Sequence[float], now: datetime
    ) -> None:
        """Note an attempt in vain: nothing for it is due before the next one.

        What two processes find out at the same time is one attempt.
        """
        with self._database.write() as transaction:
            before = _locked(transaction, destination)
            if before is not None and before.next_attempt_at > now:
                return
            absence = again(before, destination, error, delays, now)
            if _keep(transaction, absence, known=before is not None):
                next_at = utc_text(absence.next_attempt_at)
                about = f"attempt {absence.attempts} in vain, next {next_at}: {error}"
                _note(transaction, destination, "absent", now, about)

    def present(self, destination: str, now: datetime) -> None:
        """It has answered: what waits for it is due as if it had never been away."""
        away = absences.c.destination == destination
        with self._database.read() as connection:
            if connection.execute(select(absences).where(away)).first() is None:
                return
        with self._database.write() as transaction:
            gone = transaction.rows(delete(absences).where(away).returning(absences))
            for row in gone:
                since = utc_text(row.began_at)
                about = f"away since {since}, {row.attempts} attempt(s) in vain"
                _note(transaction, destination, "return", now, about)

    def try_now(self, destination: str, now: datetime, by: str = "") -> bool:
        """Try it at once, with the delays from their beginning; False: not away."""
        sooner = {"attempts": 0, "next_attempt_at": now, "lease_expires_at": None}
        changed = (
            update(absences).where(absences.c.destination == destination).values(sooner)
        )
        with self._database.write() as transaction:
            if transaction.execute(changed).rowcount != 1:
                return False
            _note(transaction, destination, "try", now, said(by))
            return True


def _locked(transaction: Transaction, destination: str) -> Absence | None:
    found = transaction.rows(
        select(absences).where(absences.c.destination == destination).with_for_update()
    )
    return _absence_of(found[0]) if found else None


def _absence_of(row: Row[tuple[object, ...]]) -> Absence:
    return Absence(
        destination=row.destination,
        began_at=row.began_at,
        attempts=row.attempts,
        next_attempt_at=row.next_attempt_at,
        error=row.error,
    )


def _keep(transaction: Transaction, absence: Absence, *, known: bool) -> bool:
    """Whether it was kept; another process may have been the first."""
    values = asdict(absence)
    if not known:
        return transaction.insert_missing(absences, values)
    transaction.execute(
        update(absences)
        .where(absences.c.destination == absence.destination)
        .values({**values, "lease_expires_at": None})
    )
    return True


def _note(
    transaction: Transaction, destination: str, event: str, now: datetime, about: str
) -> None:
    detail = f"{destination} {about}".rstrip()
    transaction.note(Event(now, f"destination {event}", None, detail=detail))
