"""The front door of the worklist."""

from __future__ import annotations

from contextlib import ExitStack
from socket import gethostname
from types import TracebackType

from dicomnode.worklist.absences import Absences
from dicomnode.worklist.backfills import Backfills
from dicomnode.worklist.chores import ChoreRuns
from dicomnode.worklist.commitments import Commitments
from dicomnode.worklist.desk import Desk
from dicomnode.worklist.engine import Database, open_database, open_readonly
from dicomnode.worklist.holding import Holds, Pauses
from dicomnode.worklist.intake import Intake
from dicomnode.worklist.jobs import Jobs
from dicomnode.worklist.ledger import Ledger
from dicomnode.worklist.mending import Mender
from dicomnode.worklist.outbox import Outbox
from dicomnode.worklist.presence import joined
from dicomnode.worklist.purging import Purge
from dicomnode.worklist.redirecting import Redirects
from dicomnode.worklist.roles import Roles
from dicomnode.worklist.spools import Spools
from dicomnode.worklist.studies import Studies
from dicomnode.worklist.upgrading import check
from dicomnode.worklist.upkeep import Upkeep
from dicomnode.worklist.views import Views


class Worklist:
    """Every view of one open worklist database; safe to share among threads.

    Open one in each process: connections do not survive a fork.
    """

    def __init__(self, database: Database, presence: ExitStack | None = None) -> None:
        self._database = database
        self._presence = presence or ExitStack()
        self.intake = Intake(database)
        self.studies = Studies(database)
        # Elsewhere what lies in a spool cannot be read.
        host = gethostname()
        self.jobs = Jobs(database, host)
        self.outbox = Outbox(database)
        self.absences = Absences(database)
        self.commitments = Commitments(database)
        self.upkeep = Upkeep(database)
        self.chores = ChoreRuns(database)
        self.desk = Desk(database)
        self.holds = Holds(database)
        self.pauses = Pauses(database)
        self.redirects = Redirects(database)
        self.purge = Purge(database)
        self.ledger = Ledger(database, host)
        self.mender = Mender(database)
        self.backfills = Backfills(database)
        self.spools = Spools(database)
        self.roles = Roles(database)
        self.wakeups = database.wakeups
        self.views = Views(database)

    @property
    def is_sound(self) -> bool:
        """False once the disk has failed a commit: the process must end."""
        return self._database.is_sound

    def reserve_log(self) -> None:
        """Before many commits come: what makes each of them shorter (SQLite)."""
        self._database.reserve_log()

    def close(self) -> None:
        """Close every connection."""
        self._database.close()
        self._presence.close()

    def __enter__(self) -> Worklist:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


def open_worklist(url: str) -> Worklist:
    """Open a migrated database; raises WorklistError with the remedy otherwise."""
    with joined(url) as presence:
        check(url)
        return Worklist(open_database(url), presence.pop_all())


def open_views(url: str) -> Views:
    """The v1 views through connections that cannot write; raises WorklistError."""
    check(url)
    return Views(open_readonly(url))
