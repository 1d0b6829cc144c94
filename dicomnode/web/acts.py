"""What a page may change; each act is an event that names the account."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Form, HTTPException, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from dicomnode.errors import DeliveryError
from dicomnode.web.rendering import page
from dicomnode.web.room import InRoom
from dicomnode.web.signing_in import Meant, Operator, Viewer

acts = APIRouter(dependencies=[Meant], include_in_schema=False)


def back_to(path: str) -> RedirectResponse:
    """See the page again, by GET, so that reloading repeats no act."""
    return RedirectResponse(path, 303)


@acts.post("/jobs/{job_id}/retry")
def retry(room: InRoom, account: Operator, job_id: str) -> Response:
    """Revive what has failed of a job: its deliveries, else the job itself."""
    now = room.clock.now()
    if not room.desk.retry_deliveries(job_id, now):
        room.desk.retry_job(job_id, now)
    return back_to(f"/jobs/{job_id}")


@acts.post("/studies/{study_instance_uid}/complete")
def complete(room: InRoom, account: Operator, study_instance_uid: str) -> Response:
    """Wait no longer for instances of a study."""
    room.desk.force_complete(study_instance_uid, room.clock.now())
    return back_to("/")


@acts.post("/studies/{study_instance_uid}/reroute")
def reroute(room: InRoom, account: Operator, study_instance_uid: str) -> Response:
    """Let the router look again, with today's rules."""
    room.desk.reroute(study_instance_uid, room.clock.now())
    return back_to("/")


@acts.post("/destinations/{name}/echo")
def echo(request: Request, room: InRoom, account: Operator, name: str) -> HTMLResponse:
    """Ask a destination for Verification."""
    if name not in {one.name for one in room.site.destinations}:
        raise HTTPException(404, f"no destination {name}; config.toml names them")
    try:
        said = f"{room.echo(name) * 1000:.1f} ms"
        well = True
    except DeliveryError as error:
        said, well = str(error), False
    return page(
        request,
        room,
        account,
        "destinations.html",
        waiting={},
        echoed={name: (well, said)},
    )


@acts.post("/language")
def language(
    request: Request, account: Viewer, code: Annotated[str, Form(max_length=5)]
) -> Response:
    """Remember the reader's language in this session."""
    request.session["language"] = code
    return back_to("/")
