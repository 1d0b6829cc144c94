"""How much comes, from whom, and how long it takes; and who has fallen silent."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from statistics import median, quantiles
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse

from dicomnode.health.chores import told
from dicomnode.health.moments import moment
from dicomnode.web.drawing import Bar, bars
from dicomnode.web.rendering import page
from dicomnode.web.room import InRoom
from dicomnode.web.signing_in import Viewer

stats = APIRouter(default_response_class=HTMLResponse, include_in_schema=False)

DAYS = 7
_HOURS = 24 * DAYS
_RECENT = 1000
LEGS = (
    ("received to complete", "received_at", "completed_at"),
    ("complete to claimed", "completed_at", "started_at"),
    ("claimed to results kept", "started_at", "finished_at"),
    ("received to results kept", "received_at", "finished_at"),
)

Record = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Leg:
    """How long a part of the way took, in seconds, over ``n`` jobs."""

    name: str
    median_seconds: float
    p95_seconds: float
    n: int


@stats.get("/stats")
def shown(request: Request, room: InRoom, account: Viewer) -> HTMLResponse:
    """The last week."""
    now = room.clock.now()
    hourly = room.views.hourly(now - timedelta(days=DAYS))
    hours = _by_hour(hourly, now)
    finished = room.views.worklist(state="COMPLETED", limit=_RECENT)
    senders = room.views.senders(now - timedelta(days=DAYS))
    return page(
        request,
        room,
        account,
        "stats.html",
        volume=bars(hours, "Studies received in each hour of a week", is_wide=True),
        busiest=max(hours, key=lambda one: one.value),
        days=[now - timedelta(hours=_HOURS - 1 - 24 * day) for day in range(DAYS)],
        legs=[leg for one in LEGS if (leg := _leg(finished, *one))],
        senders=senders,
        silent=silent(senders, now),
        chores=[_chore(row, now) for row in room.views.chores()],
    )


def _chore(row: Record, now: datetime) -> Record:
    """A chore of the keeper, with how long its last run took."""
    took = None
    if row["ended_at"]:
        took = (moment(row["ended_at"]) - moment(row["began_at"])).total_seconds()
    return {**told(row, now), "seconds": took}


def _by_hour(hourly: Sequence[Record], now: datetime) -> list[Bar]:
    counts: dict[str, int] = {}
    for row in hourly:
        counts[row["hour"]] = counts.get(row["hour"], 0) + row["n_studies"]
    hours = [now - timedelta(hours=back) for back in range(_HOURS - 1, -1, -1)]
    return [
        Bar(f"{at:%Y-%m-%d %Hh}", counts.get(f"{at:%Y-%m-%dT%H}", 0)) for at in hours
    ]


def _leg(rows: Sequence[Record], name: str, begin: str, end: str) -> Leg | None:
    seconds = [
        (moment(row[end]) - moment(row[begin])).total_seconds()
        for row in rows
        if row[begin] and row[end]
    ]
    if not seconds:
        return None
    p95 = quantiles(seconds, n=20)[-1] if len(seconds) > 1 else seconds[0]
    return Leg(name, median(seconds), p95, len(seconds))


def silent(senders: Sequence[Record], now: datetime) -> list[str]:
    """Senders silent for over an hour and ten times as long as their usual pause."""
    found = []
    for row in senders:
        first, last = moment(row["first_at"]), moment(row["last_at"])
        if row["n_studies"] > 2:  # noqa: PLR2004 - less is no habit
            usual = (last - first) / (row["n_studies"] - 1)
            if now - last > max(10 * usual, timedelta(hours=1)):
                found.append(row["calling_ae_title"])
    return found
