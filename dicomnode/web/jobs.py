"""One job: where it stands and why, its report and pictures, what was sent."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, HTTPException, Request
from fastapi.responses import HTMLResponse, Response

from dicomnode.errors import UnknownStudy
from dicomnode.health.problems import remedy_of
from dicomnode.web.rendering import page
from dicomnode.web.room import InRoom, Room
from dicomnode.web.shown import Shown, report_of
from dicomnode.web.signing_in import InPerson, Viewer

jobs = APIRouter(default_response_class=HTMLResponse, include_in_schema=False)


@jobs.get("/jobs/{job_id}")
def job(
    request: Request, room: InRoom, account: Viewer, asks: InPerson, job_id: str
) -> HTMLResponse:
    """Everything about one job."""
    row = row_of(room, job_id)
    study = str(row["study_instance_uid"])
    shown, missing = _report(room, job_id)
    if shown is not None:
        room.witness.shown(asks, study)
    return page(
        request,
        room,
        account,
        "job.html",
        row=row,
        remedy=remedy_of(row),
        events=room.views.events_of(study),
        deliveries=room.views.deliveries(job_id),
        identity=room.views.identity(study) if account.phi else None,
        report=shown,
        missing=missing,
    )


@jobs.get("/jobs/{job_id}/pictures/{number}")
def picture(room: InRoom, account: Viewer, job_id: str, number: int) -> Response:
    """One Secondary Capture of the job as a JPEG."""
    shown, _ = _report(room, job_id)
    if shown is None or not 0 <= number < len(shown.pictures):
        raise HTTPException(404, "no such picture; its job page names those there are")
    return Response(shown.pictures[number].jpeg(), media_type="image/jpeg")


def row_of(room: Room, job_id: str) -> dict[str, Any]:
    """The row of a job; raises HTTPException 404."""
    rows = room.views.job(job_id)
    if not rows:
        raise HTTPException(404, f"no job {job_id}; the worklist names those there are")
    return rows[0]


def _report(room: Room, job_id: str) -> tuple[Shown | None, str]:
    try:
        return report_of(room.results(job_id)), ""
    except UnknownStudy as error:
        return None, str(error)
