"""One study, with or without jobs: its instances, its story, and what may be done."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from fastapi import APIRouter, HTTPException, Request
from fastapi.responses import HTMLResponse, Response

from dicomnode.domain.instance import Instance
from dicomnode.health.problems import remedy_of
from dicomnode.web.acts import back_to
from dicomnode.web.rendering import page
from dicomnode.web.room import InRoom, Room
from dicomnode.web.signing_in import InPerson, Meant, Operator, Viewer

studies = APIRouter(default_response_class=HTMLResponse, include_in_schema=False)

Record = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class ShownInstance:
    """``kind`` is its SOP class; ``notes`` what was said of it alone."""

    sop_instance_uid: str
    kind: str
    view_position: str
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ShownSeries:
    """A series, in the order in which instances came."""

    series_instance_uid: str
    number: str
    modality: str
    instances: tuple[ShownInstance, ...]


@studies.get("/studies/{study_instance_uid}")
def study(
    request: Request, room: InRoom, account: Viewer, study_instance_uid: str
) -> HTMLResponse:
    """Everything about one study but the reports, which are with their jobs."""
    rows = rows_of(room, study_instance_uid)
    events = room.views.events_of(study_instance_uid)
    current = rows[0]["revision"]
    return page(
        request,
        room,
        account,
        "study.html",
        row=rows[0],
        rows=rows,
        held=any(row["held_at"] for row in rows if row["revision"] == current),
        remedy=remedy_of(rows[0]),
        series=series_of(room.instances(study_instance_uid), events),
        events=events,
    )


class Act(StrEnum):
    """What an operator may do to a study."""

    HOLD = "hold"
    """Keep it from being routed, and its jobs from being claimed."""
    RELEASE = "release"
    """Let it go on, with each of its jobs that is held."""
    COMPLETE = "complete"
    """Wait no longer for instances."""
    REROUTE = "reroute"
    """Let the router look again, with today's rules."""


@studies.post("/studies/{study_instance_uid}/{act}", dependencies=[Meant])
def do(
    room: InRoom, account: Operator, asks: InPerson, study_instance_uid: str, act: Act
) -> Response:
    """Do one of the acts to a study."""
    acts = {
        Act.HOLD: room.holds.hold_study,
        Act.RELEASE: room.holds.release_study,
        Act.COMPLETE: room.desk.force_complete,
        Act.REROUTE: room.desk.reroute,
    }
    acts[act](study_instance_uid, room.clock.now(), asks.name)
    room.witness.acted(asks, act, study_instance_uid)
    return back_to(f"/studies/{study_instance_uid}")


def rows_of(room: Room, study_instance_uid: str) -> Sequence[Record]:
    """Its rows of v1_worklist, the newest revision first; HTTPException 404."""
    rows = room.views.study(study_instance_uid)
    if not rows:
        message = f"no study {study_instance_uid}; the worklist names those there are"
        raise HTTPException(404, message)
    return rows


def series_of(
    instances: Iterable[Instance], events: Sequence[Record]
) -> list[ShownSeries]:
    """Instances by series, each with what the events say of it."""
    found: dict[str, list[Instance]] = {}
    for one in instances:
        found.setdefault(one.series_instance_uid, []).append(one)
    said = [one for one in events if str(one["kind"]).startswith("instance ")]
    return [
        ShownSeries(
            uid,
            _text(members[0], "SeriesNumber"),
            _text(members[0], "Modality"),
            tuple(_shown(one, said) for one in members),
        )
        for uid, members in found.items()
    ]


def _shown(instance: Instance, said: Iterable[Record]) -> ShownInstance:
    from pydicom.uid import UID  # noqa: PLC0415 - the pages mostly need none

    uid = instance.sop_instance_uid
    # As a word of its own, or as the name of a file: UID.HASH.dcm.
    named = re.compile(rf"(?<![0-9.]){re.escape(uid)}(?=$|[^0-9.]|\.[0-9a-f]{{12,}}\.)")
    notes = [one for one in said if named.search(str(one["detail"]))]
    return ShownInstance(
        uid,
        UID(instance.sop_class_uid).name,
        _text(instance, "ViewPosition"),
        tuple(f"{one['kind']}: {one['detail']}" for one in notes),
    )


def _text(instance: Instance, keyword: str) -> str:
    value = instance.attributes.get(keyword, "")
    return value if isinstance(value, str) else "\\".join(map(str, value))
