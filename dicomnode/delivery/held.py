"""Keeps pynetdicom's reactor off the answers that a ``send_*`` call waits for.

The library pauses its reactor thread for each call, but its flag is set before the
thread really waits: on a busy machine the reactor takes the answer, and the call waits
for its time-out. A requestor needs no reactor between association and release, so it is
held for that whole time. What a peer asks of us meanwhile (N-EVENT-REPORT) the library
serves in a thread of its own, after which it takes the reactor for running.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from pynetdicom.association import Association
from pynetdicom.events import Event

if TYPE_CHECKING:
    from pynetdicom.dimse_primitives import DimseServiceType

_LOOK_SECONDS = 0.05


class _Held:
    """Takes the checkpoint's place: who waits here stays until let go."""

    def __init__(self) -> None:
        self.reached = threading.Event()
        self.let_go = threading.Event()

    def wait(self) -> None:
        """The reactor's side."""
        self.reached.set()
        self.let_go.wait()

    def clear(self) -> None:
        """A ``send_*`` call asks for what is so already."""

    def set(self) -> None:
        """A ``send_*`` call is over; the next may follow."""


def wake_the_waiting(event: Event) -> None:
    """On EVT_CONN_CLOSE: who waits for an answer gets none, now instead of later."""
    event.assoc.dimse.msg_queue.put((None, None))


@contextmanager
def reactor_held(association: Association) -> Iterator[None]:
    """Hold the reactor of an established requestor for the body."""
    usual, held = association._reactor_checkpoint, _Held()  # noqa: SLF001  # see above
    association._reactor_checkpoint = held  # type: ignore[assignment]  # noqa: SLF001
    serve = association._serve_request  # noqa: SLF001  # see above

    def serve_and_stay(msg: DimseServiceType, context_id: int) -> None:
        try:
            serve(msg, context_id)
        finally:
            association._is_paused = True  # noqa: SLF001  # it still is

    association._serve_request = serve_and_stay  # type: ignore[method-assign]  # noqa: SLF001
    try:
        while association.is_alive() and not held.reached.wait(_LOOK_SECONDS):
            pass
        yield
    finally:
        association._reactor_checkpoint = usual  # noqa: SLF001  # as it was
        held.let_go.set()
