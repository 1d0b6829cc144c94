"""The page of the destinations: what waits for each, and which is not reached."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from fastapi import Request
from fastapi.responses import HTMLResponse

from dicomnode.web.rendering import page
from dicomnode.web.room import InRoom
from dicomnode.web.signing_in import Viewer

_UNSENT = ("PENDING", "FAILED", "REJECTED")


def destinations_page(
    request: Request,
    room: InRoom,
    account: Viewer,
    echoed: Mapping[str, tuple[bool, str]],
) -> HTMLResponse:
    """``echoed``: what came of an echo, by destination: whether it went well, words."""
    waiting = Counter(
        str(row["destination"])
        for state in _UNSENT
        for row in room.views.deliveries(state=state)
    )
    return page(
        request,
        room,
        account,
        "destinations.html",
        waiting=waiting,
        absences={row["destination"]: row for row in room.views.absences()},
        echoed=echoed,
    )
