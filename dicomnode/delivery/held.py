"""Keeps pynetdicom's reactor off the answers that a ``send_*`` call waits for.

The library pauses its reactor thread for each call, but its flag is set before the
thread really waits: on a busy machine the reactor takes the answer, and the call waits
for its time-out. A requestor needs no reactor between association and release, so it is
held for that whole time.

What a peer asks of us meanwhile (N-EVENT-REPORT) the library serves in a thread of its
own, after which it takes the reactor for running. It tells that the answer is sent
before that is so, and releases without a look at that thread: the answer then follows
the A-RELEASE-RQ, which PS3.8 9.2 forbids (event 9 in state 7), and the association
breaks. So who releases waits until what is being served is answered, and nothing else
begins.
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


class Served:
    """What the peer has asked of us: nobody begins once we are about to end."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._n_running = 0
        self._closed = False

    def begin(self) -> bool:
        """Whether it may be answered; then ``end`` must follow."""
        with self._changed:
            self._n_running += not self._closed
            return not self._closed

    def end(self) -> None:
        """It is answered: all of it is on its way, in order."""
        with self._changed:
            self._n_running -= 1
            self._changed.notify_all()

    def close(self) -> None:
        """Let nobody begin any more; wait for those who have."""
        with self._changed:
            self._closed = True
            self._changed.wait_for(lambda: self._n_running == 0)


def wake_the_waiting(event: Event) -> None:
    """On EVT_CONN_CLOSE: who waits for an answer gets none, now instead of later."""
    event.assoc.dimse.msg_queue.put((None, None))


@contextmanager
def reactor_held(association: Association) -> Iterator[Served]:
    """Hold the reactor of an established requestor for the body."""
    usual, held = association._reactor_checkpoint, _Held()  # noqa: SLF001  # see above
    association._reactor_checkpoint = held  # type: ignore[assignment]  # noqa: SLF001
    served = _serving(association)
    try:
        while association.is_alive() and not held.reached.wait(_LOOK_SECONDS):
            pass
        yield served
    finally:
        association._reactor_checkpoint = usual  # noqa: SLF001  # as it was
        held.let_go.set()


def _serving(association: Association) -> Served:
    """Follow what is served on ``association`` from now on."""
    serve, served = association._serve_request, Served()  # noqa: SLF001  # see above

    def serve_and_stay(msg: DimseServiceType, context_id: int) -> None:
        if not served.begin():
            return
        try:
            serve(msg, context_id)
        finally:
            association._is_paused = True  # noqa: SLF001  # it still is
            served.end()

    association._serve_request = serve_and_stay  # type: ignore[method-assign]  # noqa: SLF001
    return served
