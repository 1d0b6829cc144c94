"""C-STORE straight from the socket into the store (PS3.7 9.3.1, PS3.8 9.3.5).

The plain case, which is what modalities send: a command set in one fragment, then
fragments of its data set and nothing else. Its bytes are never gathered in memory.
Whatever is different goes to the library with all that it would have read itself, so
that it is answered as the library answers it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from dicomnode.receiver.arrival import Arrival
from dicomnode.receiver.command import StoreCommand, parse, response
from dicomnode.receiver.fragments import CommandPdu, Flow, Fragments, command_pdu
from dicomnode.receiver.requests import Answer
from dicomnode.receiver.sockets import HEADER_BYTES, GuardedSocket


class Surroundings(Protocol):
    """What the data path needs of the association around it."""

    def begin(self, command: StoreCommand, context_id: int) -> Arrival | None:
        """The instance that begins to arrive; None: the library is to serve it."""
        ...

    def answered(self, answer: Answer, n_bytes: int) -> None:
        """Count an instance that has been answered."""
        ...

    def resume(self, message: Message) -> None:
        """Let the library go on with a message from here."""
        ...

    def give_up(self) -> None:
        """Abort the association."""
        ...


@dataclass(frozen=True, slots=True)
class Message:
    """A C-STORE-RQ that has come in part."""

    context_id: int
    command_set: bytes
    data_set: bytes


class DataPath:
    """Serves the C-STOREs of one association in the thread that reads its socket.

    ``most_replayed_bytes``: of an odd data set that the library may take over, which
    keeps it in memory.
    """

    def __init__(
        self,
        connection: GuardedSocket,
        around: Surroundings,
        most_replayed_bytes: int,
    ) -> None:
        self._connection = connection
        self._around = around
        self._most_replayed_bytes = most_replayed_bytes

    def serve(self) -> bool:
        """Serve the C-STORE that lies in the buffer; False: there is none for us."""
        start = self._start()
        command = start and parse(start.command_set)
        if not (start and command):
            return False
        arrival = self._around.begin(command, start.context_id)
        if arrival is None:
            return False
        try:
            self._receive(start, command, arrival)
        finally:
            arrival.discard()
        return True

    def _start(self) -> CommandPdu | None:
        try:
            return command_pdu(self._connection)
        except OSError:
            self._connection.end()
            return None

    def _receive(
        self, start: CommandPdu, command: StoreCommand, arrival: Arrival
    ) -> None:
        n_head = _n_taken(start)
        self._connection.take(n_head)
        fragments = Fragments(self._connection, start.context_id, start.left_in_pdu)
        while True:
            if slices := fragments.taken():
                arrival.write(slices)
            if fragments.flow is not Flow.MORE:
                break
            if not slices:
                fragments.await_more()
        if fragments.flow is Flow.COMPLETE:
            self._answer(start, command, arrival)
        self._hand_over(start, fragments, arrival)

    def _answer(
        self, start: CommandPdu, command: StoreCommand, arrival: Arrival
    ) -> None:
        answer = arrival.finish()
        # One write: of two segments the second would wait for an acknowledgement.
        self._connection.send(
            response(command, start.context_id, answer.status, answer.short_comment)
        )
        self._around.answered(answer, arrival.n_bytes)
        arrival.log()

    def _hand_over(
        self, start: CommandPdu, fragments: Fragments, arrival: Arrival
    ) -> None:
        """Leave the socket and the message as the library needs them to go on."""
        flow = fragments.flow
        if flow is Flow.LOST:
            self._connection.end()
        elif flow is Flow.ODD and not self._resumed(start, arrival):
            self._around.give_up()
        elif flow in {Flow.ODD, Flow.COMPLETE} and fragments.left_in_pdu:
            # The fragments that are left, as a PDU of their own.
            self._connection.put_back(_header(fragments.left_in_pdu))

    def _resumed(self, start: CommandPdu, arrival: Arrival) -> bool:
        if arrival.is_refused or arrival.n_bytes > self._most_replayed_bytes:
            return False
        data_set = arrival.so_far()
        self._around.resume(Message(start.context_id, start.command_set, data_set))
        return True


def _n_taken(start: CommandPdu) -> int:
    return HEADER_BYTES + HEADER_BYTES + len(start.command_set)


def _header(n_bytes: int) -> bytes:
    return b"\x04\x00" + n_bytes.to_bytes(4, "big")
