"""What a page may change; each act is an event that names the account."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Form, HTTPException, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from dicomnode.errors import DeliveryError
from dicomnode.web.jobs import row_of
from dicomnode.web.outgoing import destinations_page
from dicomnode.web.room import InRoom, Room, Who
from dicomnode.web.signing_in import Admin, InPerson, Meant, Operator, Viewer

acts = APIRouter(dependencies=[Meant], include_in_schema=False)


def back_to(path: str) -> RedirectResponse:
    """See the page again, by GET, so that reloading repeats no act."""
    return RedirectResponse(path, 303)


@acts.post("/jobs/{job_id}/retry")
def retry(room: InRoom, account: Operator, asks: InPerson, job_id: str) -> Response:
    """Revive what has failed of a job: its deliveries, else the job itself."""
    now = room.clock.now()
    if not room.desk.retry_deliveries(job_id, now, asks.name):
        room.desk.retry_job(job_id, now, asks.name)
    return _done(room, asks, "retry", job_id)


@acts.post("/jobs/{job_id}/cancel")
def cancel(room: InRoom, account: Operator, asks: InPerson, job_id: str) -> Response:
    """Cancel a job that waits for a worker."""
    room.desk.cancel_job(job_id, room.clock.now(), asks.name)
    return _done(room, asks, "cancel", job_id)


@acts.post("/jobs/{job_id}/hold")
def hold(room: InRoom, account: Operator, asks: InPerson, job_id: str) -> Response:
    """Keep a job from being claimed."""
    room.holds.hold_job(job_id, room.clock.now(), asks.name)
    return _done(room, asks, "hold", job_id)


@acts.post("/jobs/{job_id}/release")
def release(room: InRoom, account: Operator, asks: InPerson, job_id: str) -> Response:
    """Let a held job go on, and its study where that is held."""
    now, study = room.clock.now(), str(row_of(room, job_id)["study_instance_uid"])
    room.holds.release_job(job_id, now, asks.name)
    room.holds.release_study(study, now, asks.name)
    return _done(room, asks, "release", job_id)


@acts.post("/jobs/{job_id}/resend")
def resend(room: InRoom, account: Operator, asks: InPerson, job_id: str) -> Response:
    """Send again what was sent: the same objects, under the same UIDs."""
    if not room.desk.resend_deliveries(job_id, room.clock.now(), asks.name):
        message = f"nothing of job {job_id} has been sent yet; see its deliveries"
        raise HTTPException(409, message)
    return _done(room, asks, "resend", job_id)


@acts.post("/studies/{study_instance_uid}/purge")
def purge(
    room: InRoom,
    account: Admin,
    asks: InPerson,
    study_instance_uid: str,
    reason: Annotated[str, Form(max_length=200)] = "",
) -> Response:
    """Remove all files and rows of a study for good; who, when and why stay."""
    if not reason.strip():
        raise HTTPException(422, "a purge needs a reason; say why, without names")
    room.purge(asks, study_instance_uid, reason.strip())
    return back_to("/")


def _done(room: Room, asks: Who, act: str, job_id: str) -> RedirectResponse:
    room.witness.acted(asks, act, job_id)
    return back_to(f"/jobs/{job_id}")


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
    return destinations_page(request, room, account, {name: (well, said)})


@acts.post("/language")
def language(
    request: Request, account: Viewer, code: Annotated[str, Form(max_length=5)]
) -> Response:
    """Remember the reader's language in this session."""
    request.session["language"] = code
    return back_to("/")
