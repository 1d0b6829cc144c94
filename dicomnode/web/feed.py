"""The change feed as server-sent events: ``id`` is ``seq``, so a reader resumes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from typing import Annotated

from fastapi import APIRouter, Depends, Header, HTTPException, Query, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.sse import EventSourceResponse, ServerSentEvent

from dicomnode.web.room import InRoom
from dicomnode.web.signing_in import Viewer

feed = APIRouter(include_in_schema=False)

POLL_SECONDS = 1.0
MOST_READERS = 100
_PORTION = 200


def _ringing(changed: asyncio.Event) -> Callable[[], None]:
    """Sets ``changed`` from any thread."""
    loop = asyncio.get_running_loop()

    def ring() -> None:
        loop.call_soon_threadsafe(changed.set)

    return ring


def admitted(request: Request) -> None:
    """Refuse one reader more before the answer to it has begun."""
    if len(request.app.state.readers) >= MOST_READERS:
        raise HTTPException(503, "too many live pages are open; close some")


@feed.get(
    "/events", response_class=EventSourceResponse, dependencies=[Depends(admitted)]
)
async def events(
    request: Request,
    room: InRoom,
    account: Viewer,
    after: Annotated[int, Query(ge=0)] = 0,
    last_event_id: Annotated[int | None, Header()] = None,
) -> AsyncIterator[ServerSentEvent]:
    """Every event after the last one that the reader has seen, for ever."""
    seq = after if last_event_id is None else last_event_id
    readers: set[Request] = request.app.state.readers
    readers.add(request)
    changed = asyncio.Event()
    leave = room.views.subscribe(_ringing(changed))
    try:
        while not (request.app.state.stopping() or await request.is_disconnected()):
            changed.clear()
            rows = await run_in_threadpool(room.views.events, seq, _PORTION)
            for row in rows:
                seq = row["seq"]
                yield ServerSentEvent(data=row, id=str(seq), event="change")
            if not rows:
                with suppress(TimeoutError):
                    await asyncio.wait_for(changed.wait(), POLL_SECONDS)
    finally:
        leave()
        readers.discard(request)
