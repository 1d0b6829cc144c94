"""The pages that people read, each from the v1 views; they work without JavaScript."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import HTMLResponse

from dicomnode.domain.job import JobState
from dicomnode.domain.study import StudyState
from dicomnode.health.hosts import hosted_roles
from dicomnode.health.problems import problems, remedy_of
from dicomnode.views import Record
from dicomnode.web.outgoing import destinations_page
from dicomnode.web.rendering import page
from dicomnode.web.room import InRoom
from dicomnode.web.signing_in import Admin, InPerson, Viewer

pages = APIRouter(default_response_class=HTMLResponse, include_in_schema=False)

PAGE_ROWS = 50
_STATES = [str(one) for one in (*StudyState, *JobState)]
_RECENT = 500


@pages.get("/")
def worklist(
    request: Request,
    room: InRoom,
    account: Viewer,
    state: Annotated[str, Query(max_length=20)] = "",
    ae: Annotated[str, Query(max_length=16)] = "",
    before: Annotated[str, Query(max_length=40)] = "",
) -> HTMLResponse:
    """Studies and their jobs, the newest first."""
    rows = room.views.worklist(
        state=state if state in _STATES else None,
        ae=ae.strip() or None,
        before=before or None,
        limit=PAGE_ROWS + 1,
    )
    shown, more = _one_page(rows)
    return page(
        request,
        room,
        account,
        "worklist.html",
        rows=shown,
        more=more,
        counts=room.views.counts(),
        states=_STATES,
        wanted={"state": state, "ae": ae, "before": before},
        seq=room.views.last_seq(),
    )


@pages.get("/problems")
def troubles(request: Request, room: InRoom, account: Viewer) -> HTMLResponse:
    """What is wrong, and what to do about it; first what stops results."""
    snapshot = room.look()
    return page(
        request,
        room,
        account,
        "problems.html",
        snapshot=snapshot,
        problems=problems(snapshot),
        hosts=hosted_roles(snapshot.roles, snapshot.now),
        failed=room.views.worklist(state="FAILED", limit=PAGE_ROWS),
        dead=[
            row
            for state in ("FAILED", "REJECTED")
            for row in room.views.deliveries(state=state, limit=PAGE_ROWS)
        ],
        queued_since=next((row["queued_since"] for row in snapshot.workers), None),
        remedy_of=remedy_of,
    )


@pages.get("/destinations")
def destinations(request: Request, room: InRoom, account: Viewer) -> HTMLResponse:
    """Where results go, how many wait, and which destination is not reached."""
    return destinations_page(request, room, account, {})


@pages.get("/associations")
def associations(
    request: Request, room: InRoom, account: Viewer, refused: bool = False
) -> HTMLResponse:
    """Who has called: accepted, or refused with the line that would admit them."""
    rows = room.views.associations(_RECENT, refused_only=refused)
    return page(request, room, account, "associations.html", rows=rows, refused=refused)


@pages.get("/models")
def models(request: Request, room: InRoom, account: Viewer) -> HTMLResponse:
    """The bundles at work: what for, how good, how calibrated, what they saw lately."""
    return page(request, room, account, "models.html", cards=room.cards())


@pages.get("/audit")
def audit(
    request: Request, room: InRoom, account: Admin, asks: InPerson
) -> HTMLResponse:
    """The audit trail (PS3.15 A.5), the newest first."""
    lines = room.audit(asks, _RECENT)
    return page(request, room, account, "audit.html", lines=lines)


@pages.get("/connect")
def connect(request: Request, room: InRoom, account: Viewer) -> HTMLResponse:
    """The card that a modality engineer types in."""
    return page(request, room, account, "connect.html")


def _one_page(rows: list[Record]) -> tuple[list[Record], str]:
    """The rows of one page, and the time that the next one begins before.

    Rows of one instant stay on one page, or the next one would begin after them.
    """
    if len(rows) <= PAGE_ROWS:
        return rows, ""
    cut = rows[PAGE_ROWS]["received_at"]
    whole = [row for row in rows[:PAGE_ROWS] if row["received_at"] != cut]
    shown = whole or rows[:PAGE_ROWS]
    return shown, str(shown[-1]["received_at"])
