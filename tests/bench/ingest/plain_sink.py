"""``native/sink.c`` in plain Python, with the same arguments."""

from __future__ import annotations

import itertools
import os
import socket
import struct
import sys
import threading
from pathlib import Path

from tests.bench.ingest import wire


class Sink:
    """Writes every data set to ``folder`` and says Success."""

    def __init__(self, folder: Path, sync: bool) -> None:
        self._folder, self._sync = folder, sync
        self._numbers = itertools.count()

    def serve(self, connection: socket.socket) -> None:
        """One association, to its end."""
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        command, file = b"", None
        with connection:
            while True:
                kind, body = wire.received(connection)
                if kind == wire.A_ASSOCIATE_RQ:
                    connection.sendall(wire.acceptance(body))
                elif kind == wire.A_RELEASE_RQ:
                    connection.sendall(wire.pdu(wire.A_RELEASE_RP, bytes(4)))
                elif kind != wire.P_DATA_TF:
                    return
                for control, value in values(body) if kind == wire.P_DATA_TF else ():
                    if control & 1:
                        command += value
                        continue
                    file = file or self._new()
                    file.write(value)
                    if control & 2:
                        self._keep(file)
                        connection.sendall(answer(command))
                        command, file = b"", None

    def _new(self):
        return (self._folder / str(next(self._numbers))).open("wb", buffering=0)

    def _keep(self, file) -> None:
        if self._sync:
            os.fsync(file.fileno())
        file.close()


def values(body: bytes) -> list[tuple[int, bytes]]:
    """(control header, value) of each presentation data value."""
    found, at = [], 0
    while at < len(body):
        length, _context, control = struct.unpack_from(">IBB", body, at)
        found.append((control, body[at + 6 : at + 4 + length]))
        at += 4 + length
    return found


def answer(command: bytes) -> bytes:
    """C-STORE-RSP with Success."""
    asked = wire.elements(command)
    return wire.command_pdu(
        {
            0x0002: asked[0x0002],
            0x0100: struct.pack("<H", 0x8001),
            0x0120: asked[0x0110],
            0x0800: struct.pack("<H", 0x0101),
            0x0900: struct.pack("<H", 0),
            0x1000: asked[0x1000],
        }
    )


def main(words: list[str]) -> None:
    """Serve until killed."""
    port, folder, sync = words
    sink = Sink(Path(folder), sync == "1")
    with socket.create_server(("127.0.0.1", int(port)), backlog=256) as listener:
        while True:
            connection, _ = listener.accept()
            threading.Thread(target=sink.serve, args=(connection,), daemon=True).start()


if __name__ == "__main__":
    main(sys.argv[1:])
