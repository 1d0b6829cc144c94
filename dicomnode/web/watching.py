"""For machines that watch: /healthz, /readyz and /metrics."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime, timedelta

import structlog
from fastapi import APIRouter, Depends, HTTPException, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric

from dicomnode.domain.backfill import RunState
from dicomnode.errors import WorklistError
from dicomnode.health.chores import seconds_since_success
from dicomnode.health.hosts import hosted_roles
from dicomnode.health.moments import moment
from dicomnode.health.problems import Snapshot, problems
from dicomnode.version import VERSION
from dicomnode.web.access import Role
from dicomnode.web.addresses import is_local
from dicomnode.web.room import InRoom, Room
from dicomnode.web.signing_in import Asking

watching = APIRouter(include_in_schema=False)


_log = structlog.get_logger(__name__)


@watching.get("/healthz")
def healthz() -> dict[str, str]:
    """This process answers."""
    return {"status": "ok"}


@watching.get("/readyz")
def readyz(room: InRoom, response: Response) -> dict[str, str]:
    """The worklist can be read; else 503."""
    try:
        room.views.last_seq()
    except WorklistError as error:
        # The words are for the log: anyone may ask, and they may name a host.
        _log.warning("web.not_ready", error=str(error))
        response.status_code = 503
        return {"status": "unavailable"}
    return {"status": "ok"}


def may_watch(request: Request, room: InRoom, account: Asking) -> None:
    """Refuse whom ``web.metrics`` does not name: counts are no public matter."""
    free = room.metrics == "loopback" and is_local(request)
    if room.metrics == "anyone" or free or (account.name and account.role > Role.NONE):
        return
    message = "send the token of an [[account]] as `Authorization: Bearer NAME:TOKEN`"
    raise HTTPException(401, message, {"WWW-Authenticate": "Bearer"})


@watching.get("/metrics", dependencies=[Depends(may_watch)])
def metrics(room: InRoom) -> Response:
    """The state of the node in the text format of Prometheus."""
    registry = CollectorRegistry()
    snapshot = room.look()
    others = (_silences(room, snapshot.now), _backfills(room))
    registry.register(_Node(snapshot, *others))
    return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)


class _Node:
    """A snapshot as gauges; labels are states and names of the configuration only."""

    def __init__(self, snapshot: Snapshot, *others: Metric) -> None:
        self._snapshot = snapshot
        self._others = others

    def collect(self) -> Iterable[Metric]:
        """Every gauge."""
        yield _info()
        for what, counts in self._snapshot.counts.items():
            yield _states(what, counts)
        yield _absences(self._snapshot)
        yield _chores(self._snapshot)
        yield _roles(self._snapshot)
        yield from self._others
        yield from self._single()

    def _single(self) -> Iterator[Metric]:
        snapshot = self._snapshot
        live = sum(map(snapshot.live, snapshot.workers))
        yield _gauge("workers_live", "Workers heard of within their lease.", live)
        problem_count = len(problems(snapshot))
        yield _gauge("problems", "Problems that /problems shows.", problem_count)
        drifts = len(snapshot.drift)
        yield _gauge("drift_alarms", "Alarms of the drift monitors.", drifts)
        yield _gauge("oldest_waiting_seconds", "Age of the oldest.", self._oldest())
        aside = snapshot.quarantine.n_bytes
        yield _gauge("quarantine_bytes", "Refused data sets that are kept.", aside)
        if snapshot.reconciled is not None:
            balanced = int(bool(snapshot.reconciled["balanced"]))
            yield _gauge("balanced", "1 if the latest reconcile was.", balanced)
        if snapshot.disk:
            used = snapshot.disk.used_percent
            yield _gauge("store_used_percent", "Of the store's file system.", used)
        spooled = sum(int(row["n_instances"]) for row in snapshot.spools)
        yield _gauge("spooled_instances", "That one host alone can read.", spooled)
        if snapshot.spool:
            n_files = snapshot.spool.n_files
            yield _gauge("spool_files", "Not handed over to the object store.", n_files)

    def _oldest(self) -> float:
        if self._snapshot.oldest is None:
            return 0.0
        received_at = moment(self._snapshot.oldest["received_at"])
        return max(0.0, (self._snapshot.now - received_at).total_seconds())


def _gauge(name: str, words: str, value: float) -> Metric:
    return GaugeMetricFamily(f"dicomnode_{name}", words, value=value)


def _states(what: str, counts: Mapping[str, int]) -> Metric:
    plural = {"study": "studies", "job": "jobs", "delivery": "deliveries"}[what]
    family = GaugeMetricFamily(
        f"dicomnode_{plural}", f"How many {plural} are in each state.", labels=["state"]
    )
    for state, number in counts.items():
        family.add_metric([state], number)
    return family


def _silences(room: Room, now: datetime) -> Metric:
    """By [[peer]], so there are no more labels than the configuration has names."""
    family = GaugeMetricFamily(
        "dicomnode_sender_silent_seconds",
        "How long ago the latest study of a [[peer]] came; a week at most.",
        labels=["sender"],
    )
    week = timedelta(days=7)
    for peer in room.site.peers:
        # An index finds the newest of each; those of a week would be read every time.
        newest = room.views.worklist(ae=peer.ae_title, limit=1)
        silence = now - moment(newest[0]["received_at"]) if newest else week
        silence = max(timedelta(0), min(week, silence))
        family.add_metric([peer.ae_title], silence.total_seconds())
    return family


def _absences(snapshot: Snapshot) -> Metric:
    family = GaugeMetricFamily(
        "dicomnode_destination_unreachable_seconds",
        "How long a destination for which results wait has not been reached.",
        labels=["destination"],
    )
    for row in snapshot.absences:
        seconds = (snapshot.now - moment(row["began_at"])).total_seconds()
        family.add_metric([str(row["destination"])], max(0.0, seconds))
    return family


def _chores(snapshot: Snapshot) -> Metric:
    family = GaugeMetricFamily(
        "dicomnode_chore_last_success_seconds",
        "How long ago a chore of housekeeping last went well.",
        labels=["chore"],
    )
    for row in snapshot.chores:
        seconds = seconds_since_success(row, snapshot.now)
        family.add_metric([str(row["name"])], seconds)
    return family


def _roles(snapshot: Snapshot) -> Metric:
    """By host, so there are no more labels than the node has hosts."""
    family = GaugeMetricFamily(
        "dicomnode_role_processes",
        "Processes of a role on a host that were heard of lately; 0: it is silent.",
        labels=["host", "role"],
    )
    for one in hosted_roles(snapshot.roles, snapshot.now):
        family.add_metric([one.host, one.role], one.n_live)
    return family


def _backfills(room: Room) -> Metric:
    """Of those that run or were stopped, by archive: what is done with is history."""
    family = GaugeMetricFamily(
        "dicomnode_backfill_studies",
        "Studies of the backfills that are not completed, by archive and state.",
        labels=["archive", "state"],
    )
    counts: Counter[tuple[str, str]] = Counter()
    for row in room.views.backfills():
        if row["state"] != RunState.COMPLETED:
            for state in _BACKFILL_STATES:
                counts[str(row["archive"]), state] += int(row[f"n_{state}"])
    for labels, number in counts.items():
        family.add_metric(list(labels), number)
    return family


_BACKFILL_STATES = ("waiting", "asked", "received", "analysed", "skipped", "failed")


def _info() -> Metric:
    family = GaugeMetricFamily("dicomnode_info", "Which version.", labels=["version"])
    family.add_metric([VERSION], 1)
    return family
