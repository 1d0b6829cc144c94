"""Fault 56: the pages of a whole node under load; the others must not notice."""

from __future__ import annotations

import random
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx2

from dicomnode.processes.lock import holder
from tests.faults.chain import StoreScp, radiograph
from tests.faults.roles import HANG_SECONDS
from tests.integration.rig import Node, storescu

MOST_STREAMS = 8
SLOW_READERS = 6
BUSY_READERS = 3
WEB = f"""
[web]
port = 0
max_streams = {MOST_STREAMS}
max_connections = 60
timeout_seconds = 2
"""
PAGES = ["/", "/problems", "/stats", "/associations", "/api/v1/worklist", "/metrics"]


def test_56_streams_slow_readers_and_page_requests_hold_up_nobody(tmp_path):
    node = Node(tmp_path / "node", pacs_port=1)
    with StoreScp(tmp_path) as pacs:
        configure(node, pacs.port)
        with node.running(), ExitStack() as held:
            port = web_port(node)
            base = memory_bytes(node, "web")
            client = held.enter_context(
                httpx2.Client(base_url=f"http://127.0.0.1:{port}", timeout=HANG_SECONDS)
            )
            streams = [
                held.enter_context(client.stream("GET", "/events"))
                for _ in range(MOST_STREAMS)
            ]
            refused = client.get("/events")
            assert refused.status_code == 503
            assert refused.headers["Retry-After"] == "5"
            slow = [held.enter_context(Slow(port)) for _ in range(SLOW_READERS)]
            with busy(port) as counts:
                rng = random.Random(56)
                samples = [radiograph(tmp_path, rng) for _ in range(2)]
                sent = storescu(node.port, [one.path for one in samples])
                assert sent.returncode == 0
                rows = node.settle({one.study_instance_uid for one in samples})
            assert {(r["job_state"], r["outcome"]) for r in rows} == {
                ("COMPLETED", "ANALYSED")
            }
            assert len(pacs.contents()) == len(node.views.deliveries())
            assert set(counts) <= {200, 503}
            assert counts[200] > len(PAGES)
            assert memory_bytes(node, "web") - base < 100_000_000
            no_gap(node, client, streams)
            assert all(one.ended() for one in slow), "a slow reader is still held"


def configure(node: Node, pacs_port: int) -> None:
    text = node.config.read_text().partition("[web]")[0] + WEB
    node.config.write_text(text.replace("port = 1\n", f"port = {pacs_port}\n"))


def no_gap(node: Node, client: httpx2.Client, streams: list[httpx2.Response]) -> None:
    """Each stream has every event once; one that is cut resumes after its last."""
    whole = [one["seq"] for one in node.views.events(limit=100_000)]
    for stream in streams:
        assert ids(stream.iter_lines(), whole[-1])[: len(whole)] == whole
    cut = whole[len(whole) // 2]
    for stream in streams:
        stream.close()
    after = {"Last-Event-ID": str(cut)}
    node.wait(lambda: is_free(client), "a stream that has been closed to be free")
    with client.stream("GET", "/events", headers=after) as again:
        assert again.status_code == 200
        seen = ids(again.iter_lines(), whole[-1])
    assert seen[: len(whole)] == [seq for seq in whole if seq > cut]


def is_free(client: httpx2.Client) -> bool:
    with client.stream("GET", "/events") as stream:
        return stream.status_code == 200


def ids(lines: Iterator[str], last: int) -> list[int]:
    seen: list[int] = []
    while not seen or seen[-1] < last:
        line = next(lines)
        if line.startswith("id:"):
            seen.append(int(line[3:]))
    return seen


class Slow:
    """Never finishes what it asks (tests/web has those that do not read)."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port))

    def __enter__(self) -> Slow:
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self._socket.sendall(b"GET / HTTP/1.1\r\nHost: node\r\n")
        return self

    def __exit__(self, *_error: object) -> None:
        self._socket.close()

    def ended(self) -> bool:
        """Whether the node has let it go; waits for that."""
        self._socket.settimeout(HANG_SECONDS)
        try:
            return self._socket.recv(1) == b""
        except ConnectionError:
            return True


@contextmanager
def busy(port: int) -> Iterator[dict[int, int]]:
    """Page requests, as many at once as there are readers; answers by status."""
    done, counts = threading.Event(), dict[int, int]()
    lock = threading.Lock()

    def read() -> None:
        url = f"http://127.0.0.1:{port}"
        # A connection that is kept may be closed just when it is used again.
        anew = httpx2.Limits(max_keepalive_connections=0)
        with httpx2.Client(base_url=url, timeout=HANG_SECONDS, limits=anew) as client:
            while not done.is_set():
                for path in PAGES:
                    code = client.get(path).status_code
                    with lock:
                        counts[code] = counts.get(code, 0) + 1
                done.wait(0.2)

    readers = [threading.Thread(target=read) for _ in range(BUSY_READERS)]
    for one in readers:
        one.start()
    try:
        yield counts
    finally:
        done.set()
        for one in readers:
            one.join()


def web_port(node: Node) -> int:
    """Where the pages are, as their log says."""
    told: list[int] = []

    def found() -> bool:
        told.extend(one["port"] for one in node.said("web.ready"))
        return bool(told)

    node.wait(found, "the pages")
    return told[0]


def memory_bytes(node: Node, role: str) -> int:
    """Resident memory of a role of the running node."""
    assert holder(node.folder / "var")
    (pid,) = [pid for pid, words in node.processes() if role in words]
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * 4096
