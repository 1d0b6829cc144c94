"""The API for programs: the v1 views as JSON, and the acts; OpenAPI describes it.

Programs send ``Authorization: Bearer NAME:TOKEN`` (`dicomnode account NAME --token`).
Acts need it: a browser's session cannot be made to call them by another site's page.
"""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, HTTPException, Query, Request

from dicomnode.health.problems import problems
from dicomnode.web.jobs import row_of
from dicomnode.web.room import InRoom
from dicomnode.web.signing_in import InPerson, Operator, Viewer

api = APIRouter(prefix="/api/v1")

Record = dict[str, Any]
Limit = Annotated[int, Query(ge=1, le=1000, description="At most so many rows.")]
Since = Annotated[
    datetime | None, Query(description="Received at or after; ISO 8601 with zone.")
]
State = Annotated[str | None, Query(description="A state of study or job.")]
Ae = Annotated[str | None, Query(description="A calling AE title.")]
Before = Annotated[
    str | None, Query(description="received_at of the last row of the page before.")
]


@api.get("/status")
def status(room: InRoom, account: Viewer) -> Record:
    """How the node stands: problems with their remedies, counts, workers."""
    snapshot = room.look()
    found = problems(snapshot)
    return {
        "healthy": not found,
        "problems": [asdict(one) for one in found],
        "counts": snapshot.counts,
        "workers": [{**row, "live": snapshot.live(row)} for row in snapshot.workers],
        "notice": "Research use only. Not a medical device.",
    }


@api.get("/worklist")
def worklist(  # noqa: PLR0913 - as many parameters as filters
    room: InRoom,
    account: Viewer,
    *,
    since: Since = None,
    state: State = None,
    ae: Ae = None,
    before: Before = None,
    limit: Limit = 100,
) -> list[Record]:
    """``v1_worklist``, the newest first."""
    if since is not None and since.tzinfo is None:
        raise HTTPException(422, "since has no time zone; end it with Z")
    return room.views.worklist(since, state, ae, limit, before)


@api.get("/jobs/{job_id}")
def job(room: InRoom, account: Viewer, job_id: str) -> Record:
    """One row of ``v1_worklist``; 404 if there is none."""
    return row_of(room, job_id)


@api.get("/deliveries")
def deliveries(
    room: InRoom, account: Viewer, job_id: str | None = None, state: str | None = None
) -> list[Record]:
    """``v1_deliveries``, of one job or of all, in one state or in any."""
    return room.views.deliveries(job_id, state)


@api.get("/events")
def events(
    room: InRoom, account: Viewer, after: int = 0, limit: Limit = 100
) -> list[Record]:
    """``v1_events`` after a ``seq``, in order; follow with the last one that came."""
    return room.views.events(after, limit)


@api.get("/absences")
def absences(room: InRoom, account: Viewer) -> list[Record]:
    """``v1_absences``: destinations that cannot be reached, the longest first."""
    return room.views.absences()


@api.get("/chores")
def chores(room: InRoom, account: Viewer) -> list[Record]:
    """``v1_chores`` by name: what the keeper does, and the last run of each."""
    return room.views.chores()


@api.get("/roles")
def roles(room: InRoom, account: Viewer) -> list[Record]:
    """``v1_roles`` by host and role: which processes of the node live where."""
    return room.views.roles()


@api.get("/spools")
def spools(room: InRoom, account: Viewer) -> list[Record]:
    """``v1_spools``, the oldest first: instances that one host alone can read."""
    return room.views.spools()


@api.get("/workers")
def workers(room: InRoom, account: Viewer) -> list[Record]:
    """``v1_workers``."""
    return room.views.workers()


@api.get("/associations")
def associations(
    room: InRoom, account: Viewer, refused: bool = False, limit: Limit = 100
) -> list[Record]:
    """``v1_associations``, the newest first."""
    return room.views.associations(limit, refused_only=refused)


@api.post("/jobs/{job_id}/retry")
def retry(
    request: Request, room: InRoom, account: Operator, asks: InPerson, job_id: str
) -> Record:
    """Revive what has failed of a job: its deliveries, else the job itself."""
    if "Authorization" not in request.headers:
        raise HTTPException(403, "acts need a token; `dicomnode account NAME --token`")
    now = room.clock.now()
    if not room.desk.retry_deliveries(job_id, now, asks.name):
        room.desk.retry_job(job_id, now, asks.name)
    room.witness.acted(asks, "retry", job_id)
    return row_of(room, job_id)
