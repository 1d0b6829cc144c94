"""``native/sender.c`` in plain Python, with the same arguments and the same answer."""

from __future__ import annotations

import json
import socket
import statistics
import struct
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from tests.bench.ingest import wire
from tests.bench.ingest.images import DIGITS, INSTANCE, digits

_ARGUMENTS = 15


@dataclass(frozen=True)
class Order:
    """What is to be sent, as on the command line."""

    port: int
    called: str
    calling: str
    data_set: bytes
    sop_class: str
    syntax: str
    offsets: tuple[int, int, int]
    n_images: int
    n_senders: int
    one_each: bool
    study_each: bool
    first: int


class Sender:
    """One thread's share of the images."""

    def __init__(self, order: Order, number: int) -> None:
        self._order, self._number = order, number
        self._content = bytearray(order.data_set)
        self._connection: socket.socket | None = None
        self._largest = 0
        self.failures = 0
        self.seconds: list[float] = []

    def run(self) -> None:
        """Send images ``begin`` to ``end`` of the order."""
        order = self._order
        begin = order.n_images * self._number // order.n_senders
        end = order.n_images * (self._number + 1) // order.n_senders
        for place in range(begin, end):
            began = time.perf_counter()
            self._number_image(place)
            self.failures += self._store(place - begin + 1) != 0
            if order.one_each:
                self._release()
            self.seconds.append(time.perf_counter() - began)
        self._release()

    def _number_image(self, place: int) -> None:
        order = self._order
        study = order.first + (place if order.study_each else self._number)
        numbers = (order.first + place, study, study)
        for offset, number in zip(order.offsets, numbers, strict=True):
            self._content[offset : offset + DIGITS] = digits(number)

    def _store(self, message_id: int) -> int:
        connection = self._associated()
        head = wire.command_pdu(self._command(message_id))
        view, at, most = memoryview(self._content), 0, self._largest - 6
        while at < len(view):
            part = view[at : at + most]
            at += len(part)
            fields = (len(part) + 6, len(part) + 2, wire.CONTEXT_ID)
            last = 2 if at == len(view) else 0
            head += struct.pack(">BBIIBB", wire.P_DATA_TF, 0, *fields, last)
            connection.sendall(head)
            connection.sendall(part)
            head = b""
        kind, body = wire.received(connection)
        if kind != wire.P_DATA_TF:
            raise OSError("the association was aborted")
        return int.from_bytes(wire.elements(body[6:])[0x0900], "little")

    def _command(self, message_id: int) -> dict[int, bytes]:
        at = self._order.offsets[0]
        uid = INSTANCE.encode() + bytes(self._content[at : at + DIGITS])
        return {
            0x0002: self._order.sop_class.encode(),
            0x0100: struct.pack("<H", 0x0001),
            0x0110: struct.pack("<H", message_id & 0x7FFF),
            0x0700: struct.pack("<H", 0),
            0x0800: struct.pack("<H", 0x0001),
            0x1000: uid,
        }

    def _associated(self) -> socket.socket:
        if self._connection is None:
            order = self._order
            self._connection = socket.create_connection(("127.0.0.1", order.port))
            self._connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            names = (order.called, order.calling, order.sop_class, order.syntax)
            self._connection.sendall(wire.request(*names))
            kind, body = wire.received(self._connection)
            if kind != wire.A_ASSOCIATE_AC:
                raise OSError("the association was refused")
            self._largest = wire.largest_pdu(body)
        return self._connection

    def _release(self) -> None:
        if self._connection is not None:
            self._connection.sendall(wire.pdu(wire.A_RELEASE_RQ, bytes(4)))
            wire.received(self._connection)
            self._connection.close()
            self._connection = None


def order_of(words: list[str]) -> Order:
    """The order that the command line gives."""
    port, called, calling, path, sop_class, syntax = words[:6]
    instance, study, series, _head, images, senders, each, study_each, first = words[6:]
    return Order(
        port=int(port),
        called=called,
        calling=calling,
        data_set=Path(path).read_bytes(),
        sop_class=sop_class,
        syntax=syntax,
        offsets=(int(instance), int(study), int(series)),
        n_images=int(images),
        n_senders=int(senders),
        one_each=each == "1",
        study_each=study_each == "1",
        first=int(first),
    )


def main(words: list[str]) -> int:
    """Send, and print one JSON object."""
    if len(words) != _ARGUMENTS:
        print("the arguments are those of native/sender.c", file=sys.stderr)
        return 2
    order = order_of(words)
    senders = [Sender(order, number) for number in range(order.n_senders)]
    threads = [threading.Thread(target=one.run) for one in senders]
    began = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    took = time.perf_counter() - began
    seconds = sorted(one for sender in senders for one in sender.seconds)
    if len(seconds) != order.n_images:
        return 2
    figures = {
        "images": order.n_images,
        "bytes": order.n_images * len(order.data_set),
        "seconds": took,
        "failures": sum(one.failures for one in senders),
        "median_seconds": statistics.median(seconds),
        "worst_seconds": seconds[-1],
    }
    print(json.dumps(figures))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
