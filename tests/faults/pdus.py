"""PDUs that are too long, and PDUs and TLS handshakes that are never finished.

usage: python -m tests.faults.pdus [--few]

Each variant goes to a running receiver. One that announces more than is taken must be
closed within OVERLONG_MS, one that stops half-way within the receiver's deadline, each
with less than MEMORY_MIB more memory; a C-ECHO beside it is answered meanwhile. Prints
a line for each, and ends with 1 when one is not as it must be.
"""

from __future__ import annotations

import argparse
import socket
import ssl
import struct
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter

from tests.faults.certificates import Authority
from tests.faults.raw import answer, connected, header
from tests.faults.running import Receiver, receiver
from tests.integration.wire import associate_rq, echo_rq, pdu, pdv, store_rq

DEADLINE_SECONDS = 5.0
OVERLONG_MS, MEMORY_MIB = 100.0, 1.0
_GRACE_SECONDS = 0.5
_PATIENCE_SECONDS = 30.0
CONFIG = f"""
[node]
data_dir = "var"

[store]
watermark_percent = 100

[receiver]
host = "127.0.0.1"
port = 0
request_timeout_seconds = {DEADLINE_SECONDS:g}
network_timeout_seconds = {DEADLINE_SECONDS:g}

[receiver.tls]
enabled = true
port = 0
certificate = "{{certificate}}"
private_key = "{{private_key}}"

[[peer]]
ae_title = "MODALITY"
hosts = ["127.0.0.0/8"]
"""


@dataclass(frozen=True)
class Variant:
    """What is sent; ``associated``: behind an A-ASSOCIATE-AC; ``tls``: to that port."""

    name: str
    sent: bytes
    is_overlong: bool = False
    associated: bool = False
    tls: bool = False


@dataclass(frozen=True)
class Seen:
    """Until the end of the connection; None: it did not end."""

    seconds: float | None
    mib: float
    echo_ms: float


def variants() -> list[Variant]:
    """In the order of the table: too long, then never finished."""
    rq, message = associate_rq(), pdu(pdv(1, 3, store_rq()))
    hello = _client_hello()
    lengths = (0xFFFFFFFF, 0x80000000, 0x7FFFFFFF, 16 << 20, (256 << 10) + 1)
    return [
        *(
            Variant(f"request of {n:#x}", header(1, n), is_overlong=True)
            for n in lengths
        ),
        *(
            Variant(f"data of {n:#x}", header(4, n), is_overlong=True, associated=True)
            for n in lengths
        ),
        Variant("release of 4 GiB", header(5, 0xFFFFFFFF), True, associated=True),
        Variant("data behind a command", message + header(4, 0xFFFFFFFF), True, True),
        Variant("nothing", b""),
        Variant("1 byte", rq[:1]),
        Variant("5 bytes", rq[:5]),
        Variant("a header", rq[:6]),
        Variant("half a request", rq[: len(rq) // 2]),
        Variant("all but a byte", rq[:-1]),
        Variant("5 bytes of data", message[:5], associated=True),
        Variant("a header of data", message[:6], associated=True),
        Variant("half a command", message[: len(message) // 2], associated=True),
        Variant(
            "half a data set",
            message + pdu(pdv(1, 0, bytes(4000)))[:2000],
            associated=True,
        ),
        Variant("TLS: nothing", b"", tls=True),
        Variant("TLS: 5 bytes", hello[:5], tls=True),
        Variant("TLS: half a hello", hello[: len(hello) // 2], tls=True),
        Variant("TLS: a hello", hello, tls=True),
    ]


def _client_hello() -> bytes:
    """The first flight of a client that then says no more."""
    into, out = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = ssl.create_default_context().wrap_bio(into, out, server_hostname="node")
    with suppress(ssl.SSLWantReadError):
        client.do_handshake()
    return out.read()


def look(running: Receiver, one: Variant) -> Seen:
    """Send it, and see when the connection ends and what that costs."""
    port = running.tls_port if one.tls else running.port
    assert port
    before = running.memory_kib
    with connected(int(port)) as connection:
        if one.associated:
            connection.sendall(associate_rq())
            assert answer(connection)[0] == 2
        began = perf_counter()
        connection.sendall(one.sent)
        if one.is_overlong:
            seconds = _ended(connection, began)
            return Seen(seconds, _more(running, before), _echo_ms(running.port))
        echo_ms = _echo_ms(running.port)
        mib = _more(running, before)
        return Seen(_ended(connection, began), mib, echo_ms)


def _more(running: Receiver, before_kib: int) -> float:
    return (running.memory_kib - before_kib) / 1024


def _ended(connection: socket.socket, began: float) -> float | None:
    connection.settimeout(_PATIENCE_SECONDS)
    try:
        while connection.recv(4096):
            pass
    except TimeoutError:
        return None
    except OSError:
        pass
    return perf_counter() - began


def _echo_ms(port: int) -> float:
    """A C-ECHO on an association of its own."""
    began = perf_counter()
    with connected(port) as connection:
        connection.sendall(associate_rq())
        assert answer(connection)[0] == 2
        connection.sendall(pdu(pdv(5, 3, echo_rq())))
        assert answer(connection)[0] == 4
        connection.sendall(struct.pack(">BxII", 5, 4, 0))
        assert answer(connection)[0] == 6
    return 1000 * (perf_counter() - began)


def missed(one: Variant, seen: Seen) -> Iterator[str]:
    """What is not as it must be."""
    limit = OVERLONG_MS / 1000 if one.is_overlong else DEADLINE_SECONDS + _GRACE_SECONDS
    if seen.seconds is None or seen.seconds > limit:
        yield f"ended after {seen.seconds} s instead of {limit:g} at most"
    if seen.mib > MEMORY_MIB:
        yield f"took {seen.mib:.1f} MiB instead of {MEMORY_MIB:g} at most"


def run(folder: Path, chosen: list[Variant]) -> list[tuple[Variant, Seen]]:
    """Look at each in turn, on one receiver that is warm."""
    files = Authority(folder).issue("node")
    config = CONFIG.format(certificate=files.certificate, private_key=files.private_key)
    with receiver(folder, config) as running:
        # The first few bring in what all of them share.
        for one in variants()[:6]:
            look(running, one)
        return [(one, look(running, one)) for one in chosen]


def main() -> int:
    """Print a line for each."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults.pdus")
    parser.add_argument("--few", action="store_true", help="every fourth of them")
    given = parser.parse_args()
    chosen = variants()[:: 4 if given.few else 1]
    n_missed = 0
    with TemporaryDirectory() as folder:
        for one, seen in run(Path(folder), chosen):
            ended = "-" if seen.seconds is None else f"{seen.seconds:.3f} s"
            told = list(missed(one, seen))
            n_missed += bool(told)
            print(
                f"{one.name:<24} {ended:>9} {seen.mib:>6.2f} MiB "
                f"echo {seen.echo_ms:>6.1f} ms  {'; '.join(told)}".rstrip()
            )
    print(f"{len(chosen)} variants, {n_missed} not as they must be")
    return 1 if n_missed else 0


if __name__ == "__main__":
    sys.exit(main())
