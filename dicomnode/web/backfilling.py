"""The page of an archive's history: how far a backfill is, and its brakes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, Response

from dicomnode.health.moments import moment
from dicomnode.web.acts import back_to
from dicomnode.web.rendering import page
from dicomnode.web.room import InRoom
from dicomnode.web.signing_in import InPerson, Meant, Operator, Viewer

backfilling = APIRouter(include_in_schema=False)

SILENT_SECONDS = 120.0
"""One that runs says so with each study, and at least once in a minute."""

_DONE = ("n_analysed", "n_skipped", "n_failed")


@dataclass(frozen=True, slots=True)
class Progress:
    """A row of ``v1_backfills``: how many studies are done with, and how fast."""

    row: Mapping[str, Any]
    n_done: int
    an_hour: int
    is_silent: bool

    @property
    def runs(self) -> bool:
        """Whether a brake would do anything."""
        return self.row["state"] == "RUNNING" and not self.is_silent


@backfilling.get("/backfill")
def shown(request: Request, room: InRoom, account: Viewer) -> HTMLResponse:
    """Every backfill, the newest first, and the studies that failed."""
    now = room.clock.now()
    rates = room.views.backfill_rates(now - timedelta(hours=1))
    silent_since = now - timedelta(seconds=SILENT_SECONDS)
    progress = [
        Progress(
            row,
            sum(row[name] for name in _DONE),
            rates.get(row["backfill_id"], 0),
            moment(row["heartbeat_at"]) < silent_since,
        )
        for row in room.views.backfills()
    ]
    failed = room.views.backfill_studies("FAILED")
    return page(
        request, room, account, "backfill.html", progress=progress, failed=failed
    )


@backfilling.post("/backfill/{backfill_id}/stop", dependencies=[Meant])
def stop(room: InRoom, account: Operator, asks: InPerson, backfill_id: str) -> Response:
    """Ask it to end; what is being brought in comes whole."""
    room.backfills.stop(backfill_id, room.clock.now(), asks.name)
    room.witness.acted(asks, "stop backfill", backfill_id)
    return back_to("/backfill")


@backfilling.post("/backfill/{backfill_id}/pause", dependencies=[Meant])
def pause(
    room: InRoom, account: Operator, asks: InPerson, backfill_id: str
) -> Response:
    """Let it ask for nothing more until it goes on."""
    room.backfills.pause(backfill_id, room.clock.now(), asks.name)
    room.witness.acted(asks, "pause backfill", backfill_id)
    return back_to("/backfill")


@backfilling.post("/backfill/{backfill_id}/go-on", dependencies=[Meant])
def go_on(
    room: InRoom, account: Operator, asks: InPerson, backfill_id: str
) -> Response:
    """End its pause."""
    room.backfills.go_on(backfill_id, room.clock.now(), asks.name)
    room.witness.acted(asks, "continue backfill", backfill_id)
    return back_to("/backfill")
