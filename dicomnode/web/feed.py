"""The change feed as server-sent events: ``id`` is ``seq``, so a reader resumes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from time import monotonic
from typing import Annotated

from fastapi import APIRouter, Depends, Header, HTTPException, Query, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.sse import EventSourceResponse, ServerSentEvent

from dicomnode.web.room import InRoom, Room
from dicomnode.web.signing_in import Viewer

feed = APIRouter(include_in_schema=False)

POLL_SECONDS = 1.0
_PORTION = 200
_COME_BACK = {"Retry-After": "5"}


class Pulse:
    """Whether there is news: one look a second, however many readers there are.

    Where the database tells of it (PostgreSQL), there is a look at once.
    """

    def __init__(self) -> None:
        self._seq, self._look_at = 0, 0.0
        self._changed: asyncio.Event | None = None

    async def newest(self, room: Room) -> int:
        """The last ``seq`` as of the last look."""
        if self._changed is None:
            self._changed = asyncio.Event()
            room.views.subscribe(self._ringing(self._changed))
        now = monotonic()
        if now >= self._look_at:
            self._look_at = now + POLL_SECONDS
            self._changed.clear()
            self._seq = await run_in_threadpool(room.views.last_seq)
        return self._seq

    async def rest(self) -> None:
        """Until there may be news."""
        if self._changed is not None:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._changed.wait(), POLL_SECONDS)

    def _ringing(self, changed: asyncio.Event) -> Callable[[], None]:
        loop = asyncio.get_running_loop()

        def tell() -> None:
            self._look_at = 0.0
            changed.set()

        def ring() -> None:
            # The server may have ended since; then nobody waits for it.
            with suppress(RuntimeError):
                loop.call_soon_threadsafe(tell)

        return ring


def admitted(request: Request, room: InRoom) -> None:
    """Refuse one reader more before the answer to it has begun."""
    if len(request.app.state.readers) >= room.most_streams:
        message = "too many live pages are open; close some, or raise web.max_streams"
        raise HTTPException(503, message, _COME_BACK)


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
    pulse: Pulse = request.app.state.pulse
    readers.add(request)
    try:
        while not (request.app.state.stopping() or await request.is_disconnected()):
            if await pulse.newest(room) <= seq:
                await pulse.rest()
                continue
            for row in await run_in_threadpool(room.views.events, seq, _PORTION):
                seq = row["seq"]
                yield ServerSentEvent(data=row, id=str(seq), event="change")
    finally:
        readers.discard(request)
