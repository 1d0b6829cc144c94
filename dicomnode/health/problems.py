"""Is the node well? Pure: from what the views say to problems with their remedies."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from dicomnode.health.chores import failing, last_turn, overdue
from dicomnode.health.hosts import late_spools, silent_hosts
from dicomnode.health.moments import age, moment
from dicomnode.health.spool import LATE_SECONDS, Spool

UNTOUCHED_SECONDS = 60.0
"""A complete study waits for the router no longer than this while the keeper runs."""

LATELY_MINUTES = 10
AWAY = "absent"
"""Key of the problem that a destination cannot be reached."""

ENDED = ("STOPPED", "HANGS", "DEVICE_LOST")
"""Last words of a worker; another one may have taken its place."""

AGAIN_AND_AGAIN = 3
"""A role that ends so often does not recover by being started again."""

Row = Mapping[str, Any]
Counts = Mapping[str, Mapping[str, int]]


@dataclass(frozen=True, slots=True)
class Disk:
    """The file system of the store; above ``limit_percent`` C-STORE is refused."""

    path: str
    total_bytes: int
    used_percent: float
    limit_percent: float


@dataclass(frozen=True, slots=True)
class Aside:
    """Data sets that were refused and kept for a look at them."""

    n_files: int = 0
    n_bytes: int = 0

    def __str__(self) -> str:
        """In words, with what to do about it."""
        size = f"{self.n_bytes / 1e6:.1f} MB"
        return (
            f"{self.n_files} refused data set(s), {size}, in the folder quarantine of "
            "the store; look why, then `dicomnode purge --quarantine`"
        )


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What `status` shows: counts by state, waiting rows, workers, refusals, disk.

    ``oldest`` is the row of v1_worklist that waits longest, ``unrouted`` how many
    complete studies no keeper has taken up (``Views.unrouted``); ``failed`` are the
    newest failed rows; ``late`` deliveries that were tried and wait, the next of each
    destination; ``drift`` alarms of the pipelines' drift monitors; ``stranded`` waiting
    deliveries by a destination that is not configured; ``absences`` the configured
    destinations that cannot be reached; ``pauses`` what an admin has stopped;
    ``reconciled`` the outcome of the latest reconcile; ``ended`` how often each role
    has ended unasked lately; ``refused_config`` what was wrong with a configuration
    that the running node has not taken; ``quarantine`` what was set aside; ``untold``
    why a channel of alerts has failed lately; ``spool`` what waits for the object
    store; ``chores`` rows of v1_chores, ``roles`` of v1_roles, ``spools`` of
    v1_spools; ``host`` where this is looked at; ``lease_seconds`` is how long a silent
    worker is believed.
    """

    now: datetime
    counts: Counts
    oldest: Row | None = None
    unrouted: Row = field(default_factory=dict)
    failed: Sequence[Row] = ()
    workers: Sequence[Row] = ()
    refused: Sequence[Row] = ()
    late: Sequence[Row] = ()
    drift: Sequence[Row] = ()
    disk: Disk | None = None
    stranded: Mapping[str, int] = field(default_factory=dict)
    absences: Sequence[Row] = ()
    pauses: Sequence[Row] = ()
    reconciled: Row | None = None
    ended: Mapping[str, int] = field(default_factory=dict)
    refused_config: str = ""
    quarantine: Aside = Aside()
    untold: Mapping[str, str] = field(default_factory=dict)
    lease_seconds: float = 0.0
    spool: Spool | None = None
    chores: Sequence[Row] = ()
    roles: Sequence[Row] = ()
    spools: Sequence[Row] = ()
    host: str = ""

    def live(self, worker: Row) -> bool:
        """Whether a worker has been heard of within its lease, and has not ended."""
        silence = self.now - moment(worker["heartbeat_at"])
        has_ended = worker.get("state") in ENDED
        return not has_ended and silence <= timedelta(seconds=self.lease_seconds)

    def state_of(self, worker: Row) -> str:
        """What it says of itself; GONE if it says nothing any more."""
        said = str(worker["state"])
        return said if said in ENDED or self.live(worker) else "GONE"

    @property
    def shown_workers(self) -> Sequence[Row]:
        """Without those that ended in order, unless there is no other."""
        others = [row for row in self.workers if row.get("state") != "STOPPED"]
        return others or self.workers[:1]


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong, and what to do about it.

    ``key`` stays the same while it lasts, whatever the words say; ``number`` is how
    many are concerned, which may grow.
    """

    what: str
    remedy: str
    examples: Sequence[str] = field(default=())
    key: str = ""
    number: int = 1


def problems(snapshot: Snapshot) -> list[Problem]:
    """Everything that makes the node unhealthy; empty when it is well."""
    return [
        *_failed_jobs(snapshot),
        *_failed_deliveries(snapshot.counts.get("delivery", {})),
        *_nobody_works(snapshot),
        *_nobody_keeps(snapshot),
        *_full(snapshot.disk),
        *_spooled(snapshot.spool, snapshot.now),
        *_hosts(snapshot),
        *_stranded(snapshot.stranded),
        *_away(snapshot),
        *_unbalanced(snapshot.reconciled),
        *_dying(snapshot.ended),
        *_not_taken(snapshot.refused_config),
        *_mute(snapshot.untold),
        *_chores(snapshot),
    ]


def _failed_jobs(snapshot: Snapshot) -> Iterator[Problem]:
    number = snapshot.counts.get("job", {}).get("FAILED", 0)
    if number:
        reasons = [f"{row['job_id']}: {row['error']}" for row in snapshot.failed]
        remedy = "see `dicomnode show JOB`, then `dicomnode retry JOB` or --all-failed"
        what = f"{number} failed job(s)"
        yield Problem(what, remedy, reasons, "jobs-failed", number)


def _failed_deliveries(counts: Mapping[str, int]) -> Iterator[Problem]:
    number = counts.get("FAILED", 0) + counts.get("REJECTED", 0)
    if number:
        remedy = "see `dicomnode echo DEST`, then `dicomnode retry --all-failed`"
        what = f"{number} result(s) not delivered"
        yield Problem(what, remedy, key="deliveries-failed", number=number)


def _nobody_works(snapshot: Snapshot) -> Iterator[Problem]:
    jobs = snapshot.counts.get("job", {})
    waiting = jobs.get("SCHEDULED", 0) + jobs.get("IN_PROGRESS", 0)
    paused = any(row["service"] == "work" for row in snapshot.pauses)
    if waiting and not paused and not any(map(snapshot.live, snapshot.workers)):
        remedy = "start one with `dicomnode run` or `dicomnode work`, and read its log"
        what = f"{waiting} job(s) wait and no worker is alive"
        yield Problem(what, remedy, key="no-worker")


def _nobody_keeps(snapshot: Snapshot) -> Iterator[Problem]:
    number = snapshot.unrouted.get("n_studies", 0)
    if number:
        remedy = "start the keeper with `dicomnode run` or `dicomnode keep`"
        since = age(snapshot.unrouted["since"], snapshot.now)
        what = f"{number} complete studies not routed for {since}"
        yield Problem(what, remedy, key="no-keeper")


def _full(disk: Disk | None) -> Iterator[Problem]:
    if disk is not None and disk.used_percent >= disk.limit_percent:
        yield Problem(
            f"the disk of {disk.path} is {disk.used_percent:.0f} % full and studies "
            "are refused (0xA700)",
            "free space there, or lower retention.keep_days",
            key="disk-full",
        )


def _spooled(spool: Spool | None, now: datetime) -> Iterator[Problem]:
    if spool is None or spool.oldest_at is None:
        return
    if (now - spool.oldest_at).total_seconds() >= LATE_SECONDS:
        since = age(spool.oldest_at, now)
        what = f"{spool.n_files} instance(s) not handed over to the object store"
        remedy = "see `dicomnode doctor`, and the log of `dicomnode receive`"
        yield Problem(f"{what}, the oldest for {since}", remedy, key="spool")


def _hosts(snapshot: Snapshot) -> Iterator[Problem]:
    now, roles = snapshot.now, snapshot.roles
    for _, what, remedy, key in silent_hosts(roles, now):
        yield Problem(what, remedy, key=key)
    # What lies here has been told of by its files.
    told = snapshot.host if snapshot.spool and snapshot.spool.n_files else ""
    elsewhere = [one for one in snapshot.spools if one["host"] != told]
    for what, remedy, key, number in late_spools(elsewhere, roles, now):
        yield Problem(what, remedy, key=key, number=number)


def _stranded(stranded: Mapping[str, int]) -> Iterator[Problem]:
    for destination, number in stranded.items():
        what = f"{number} result(s) wait for {destination}, which is not configured"
        remedy = "`dicomnode retry --to DEST` sends them to another one"
        yield Problem(what, remedy, key=f"stranded:{destination}", number=number)


def _away(snapshot: Snapshot) -> Iterator[Problem]:
    for row in snapshot.absences:
        name, since = row["destination"], age(row["began_at"], snapshot.now)
        what = (
            f"{name} cannot be reached for {since}, {row['n_waiting']} result(s) wait"
        )
        remedy = (
            f"it is tried again at {row['next_attempt_at']}; when the cause is gone "
            f"`dicomnode retry --to {name}` tries it at once"
        )
        yield Problem(what, remedy, [str(row["error"])], f"{AWAY}:{name}")


def _unbalanced(outcome: Row | None) -> Iterator[Problem]:
    if outcome is not None and not outcome["balanced"]:
        left = outcome["n_found"] - outcome["n_repaired"]
        what = (
            f"the reconcile of {outcome['finished_at']} left {left} not accounted for"
        )
        remedy = "see `dicomnode reconcile`, then `reconcile --repair`"
        yield Problem(what, remedy, key="unbalanced")


def _dying(ended: Mapping[str, int]) -> Iterator[Problem]:
    for role, number in ended.items():
        if number >= AGAIN_AND_AGAIN:
            what = f"the role {role} has ended {number} times in {LATELY_MINUTES} min"
            remedy = f"read its log, then try `dicomnode {role}` alone"
            yield Problem(what, remedy, key=f"role-ends:{role}")


def _mute(untold: Mapping[str, str]) -> Iterator[Problem]:
    for channel, error in untold.items():
        what, _, remedy = error.rpartition("; ")
        what = f"alerts by {channel} cannot be sent: {what}"
        yield Problem(what, remedy, key=f"alert-channel:{channel}")


def _chores(snapshot: Snapshot) -> Iterator[Problem]:
    now = snapshot.now
    for row in snapshot.chores:
        name = row["name"]
        if failing(row):
            why, _, remedy = str(row["error"]).rpartition("; ")
            what = (
                f"housekeeping: {name} failed {age(row['failed_at'], now)} ago: {why}"
            )
            yield Problem(what, remedy, key=f"chore-fails:{name}")
        elif overdue(row, now):
            since = age(last_turn(row), now)
            what = f"housekeeping: {name} has not run for {since}"
            remedy = "read the log of `dicomnode keep`, then start it afresh"
            yield Problem(what, remedy, key=f"chore-late:{name}")


def _not_taken(refused: str) -> Iterator[Problem]:
    if refused:
        what = "the changed configuration is wrong; the node goes on with the old one"
        remedy = "correct it, `dicomnode config check`, then `dicomnode reload`"
        yield Problem(what, remedy, refused.splitlines(), "config-refused")


def remedy_of(row: Row) -> str:
    """What to do about one row of v1_worklist; empty when nothing is wrong."""
    if row.get("held_at"):
        return "held by an admin; `dicomnode release` lets it go on"
    if row.get("spooled_on") and row["job_state"] == "SCHEDULED":
        host = row["spooled_on"]
        return f"instances lie in the spool of {host}; start `dicomnode receive` there"
    by_state = {
        "FAILED": f"`dicomnode retry {row['job_id']}` when the cause is gone",
        "CANCELED": f"`dicomnode retry {row['job_id']}` if it is wanted after all",
        "NOT_ROUTED": "no [[pipeline]] matches; correct its match if one should",
    }
    return by_state.get(str(row["job_state"] or row["study_state"]), "")
