"""What someone must be told of who does not look. Pure: from looks to alarms.

An alarm names jobs by their number and studies by a short hash, never a patient.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from dicomnode.domain.silence import Hours, silent_seconds
from dicomnode.health.moments import age, moment
from dicomnode.health.problems import AWAY, Row, Snapshot, problems

TITLES = {
    "jobs-failed": "failed jobs",
    "deliveries-failed": "results not delivered",
    "destination-down": "results wait for",
    "disk-filling": "the disk of the store",
    "disk-full": "the disk is full",
    "silent": "no study from",
    "no-worker": "no worker",
    "no-keeper": "studies not routed",
    "stranded": "results wait for a destination that is not configured",
    "unbalanced": "reconcile",
    "role-ends": "a role that ends again and again",
    "chore-fails": "housekeeping fails:",
    "chore-late": "housekeeping does not run:",
    "alert-channel": "alerts not sent by",
    "spool": "instances not handed over to the object store",
    "silent-host": "no word from host",
    "certificate": "a certificate expires",
    "config-refused": "a changed configuration is wrong",
    "test": "test",
}
_HASH_LENGTH = 4


@dataclass(frozen=True, slots=True)
class Alarm:
    """Something is wrong: ``key`` stays while it lasts, ``number`` may grow."""

    key: str
    what: str
    remedy: str
    number: int = 1
    jobs: tuple[str, ...] = ()

    @property
    def title(self) -> str:
        """What it is about, without how bad it is: for the message that it is over."""
        return title_of(self.key)


@dataclass(frozen=True, slots=True)
class Limits:
    """When a state that is not a problem yet is an alarm."""

    destination_down_minutes: float
    disk_percent: float
    certificate_days: float


@dataclass(frozen=True, slots=True)
class Sender:
    """One that must not fall silent; ``last_at`` None: it has never sent."""

    ae_title: str
    last_at: datetime | None
    silent_after_minutes: float
    hours: Hours | None


@dataclass(frozen=True, slots=True)
class Certificate:
    """A certificate that the configuration names by ``key``."""

    key: str
    file: Path
    until: datetime


@dataclass(frozen=True, slots=True)
class Survey:
    """All that alarms are made of; ``unsent`` are rows of ``Views.unsent``."""

    snapshot: Snapshot
    unsent: Sequence[Row] = ()
    senders: Sequence[Sender] = ()
    certificates: Sequence[Certificate] = ()


def title_of(key: str) -> str:
    """The words for a key such as ``silent:CT1``."""
    kind, _, subject = key.partition(":")
    return f"{TITLES.get(kind, kind)} {subject}".rstrip()


def short_hash(study_instance_uid: str) -> str:
    """Four letters that tell a study from its neighbours, and nobody who it is of."""
    digest = hashlib.sha256(study_instance_uid.encode()).hexdigest()
    return digest[:_HASH_LENGTH]


def alarms(survey: Survey, limits: Limits) -> list[Alarm]:
    """Everything that someone must be told of; empty when all is well."""
    found = [
        *_problems(survey.snapshot),
        *_nobody(survey.snapshot),
        *_down(survey, limits),
        *_filling(survey.snapshot, limits),
        *_silent(survey),
        *_expiring(survey, limits),
    ]
    return list({one.key: one for one in reversed(found)}.values())[::-1]


def _problems(snapshot: Snapshot) -> Iterator[Alarm]:
    for one in problems(snapshot):
        if one.key.startswith(f"{AWAY}:"):
            continue  # for a while it is none; see _down
        jobs: tuple[str, ...] = ()
        if one.key == "jobs-failed":
            jobs = tuple(
                f"{row['job_id']} st:{short_hash(row['study_instance_uid'])}"
                for row in snapshot.failed
            )
        yield Alarm(one.key, one.what, one.remedy, one.number, jobs)


def _nobody(snapshot: Snapshot) -> Iterator[Alarm]:
    """No worker is left, before any job waits for one."""
    paused = any(row["service"] == "work" for row in snapshot.pauses)
    if (
        snapshot.workers
        and not paused
        and not any(map(snapshot.live, snapshot.workers))
    ):
        last = age(snapshot.workers[0]["heartbeat_at"], snapshot.now)
        what = f"no worker is alive; the last was heard of {last} ago"
        remedy = "start one with `dicomnode run` or `dicomnode work`, and read its log"
        yield Alarm("no-worker", what, remedy)


def _down(survey: Survey, limits: Limits) -> Iterator[Alarm]:
    now = survey.snapshot.now
    longest = timedelta(minutes=limits.destination_down_minutes)
    for row in survey.unsent:
        since = row["waiting_since"]
        tried = row["state"] == "PENDING" and row["attempts"]
        if tried and since and now - moment(since) >= longest:
            yield _waits(row["destination"], row["n_results"], age(since, now))
    for row in survey.snapshot.absences:
        if now - moment(row["began_at"]) >= longest:
            since = age(row["began_at"], now)
            yield _waits(row["destination"], row["n_waiting"], since)


def _waits(name: str, number: int, since: str) -> Alarm:
    what = f"{number} result(s) wait for {name}, for {since}"
    remedy = f"see `dicomnode echo {name}`; they go out when it answers"
    return Alarm(f"destination-down:{name}", what, remedy)


def _filling(snapshot: Snapshot, limits: Limits) -> Iterator[Alarm]:
    disk = snapshot.disk
    if disk is not None and disk.used_percent >= limits.disk_percent:
        what = (
            f"the disk of the store is {disk.used_percent:.0f} % full; studies are "
            f"refused from {disk.limit_percent:g} %"
        )
        remedy = "free space there, or lower retention.keep_days"
        yield Alarm("disk-filling", what, remedy)


def _silent(survey: Survey) -> Iterator[Alarm]:
    now = survey.snapshot.now
    for one in survey.senders:
        if one.last_at is None:
            continue
        minutes = silent_seconds(one.last_at, now, one.hours) / 60.0
        if minutes >= one.silent_after_minutes:
            counted = " of its hours" if one.hours else ""
            what = (
                f"no study from {one.ae_title} for {minutes:.0f} min{counted}, the "
                f"last {age(one.last_at, now)} ago"
            )
            remedy = "look at the sender and the network; /associations has refusals"
            yield Alarm(f"silent:{one.ae_title}", what, remedy)


def _expiring(survey: Survey, limits: Limits) -> Iterator[Alarm]:
    now = survey.snapshot.now
    for one in survey.certificates:
        left = one.until - now
        if left <= timedelta(days=limits.certificate_days):
            when = f"{one.until:%Y-%m-%d %H:%M}Z"
            verb = "has expired" if left <= timedelta(0) else "expires"
            what = f"the certificate of {one.key} {verb} at {when}"
            remedy = "renew the file; the next connection takes it up"
            yield Alarm(f"certificate:{one.key}", what, remedy)
