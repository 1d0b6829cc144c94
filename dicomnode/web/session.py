"""Signing in and out."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Form, Request
from fastapi.responses import HTMLResponse, Response

from dicomnode.web.acts import back_to
from dicomnode.web.rendering import page
from dicomnode.web.room import InRoom, Who
from dicomnode.web.signing_in import MOST_NAME, Asking, InPerson, Meant, by_secret

session = APIRouter(include_in_schema=False)


@session.get("/sign-in")
def form(request: Request, room: InRoom, account: Asking) -> HTMLResponse:
    """The form."""
    return page(request, room, account, "sign_in.html", failed=False)


@session.post("/sign-in", dependencies=[Meant])
def sign_in(
    request: Request,
    room: InRoom,
    account: Asking,
    asks: InPerson,
    name: Annotated[str, Form(max_length=MOST_NAME)],
    password: Annotated[str, Form(max_length=256)],
) -> Response:
    """Begin a session, fresh, so that nobody can have planted it."""
    found = by_secret(request, room, name, password)
    if found is None:
        return page(request, room, account, "sign_in.html", 401, failed=True)
    request.session.clear()
    request.session["account"] = found.name
    room.witness.signed_in(Who(found.name, asks.address))
    return back_to("/")


@session.post("/sign-out", dependencies=[Meant])
def sign_out(request: Request, room: InRoom, asks: InPerson) -> Response:
    """End the session."""
    room.witness.signed_out(asks)
    request.session.clear()
    return back_to("/sign-in")
