"""Fault 56: the pages as a process of their own, with many readers of the feed."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx2
import pytest

from dicomnode.config import load
from dicomnode.errors import ConfigError
from dicomnode.processes.web import listening
from dicomnode.worklist import Worklist, open_worklist, upgrade
from tests.contract.worklist import making
from tests.faults.roles import HANG_SECONDS, Role

CONFIG = """
[node]
data_dir = "var"

[web]
host = "127.0.0.1"
port = 0
"""


@pytest.fixture
def worklist(tmp_path: Path) -> Iterator[Worklist]:
    (tmp_path / "tmp").mkdir()
    (tmp_path / "var").mkdir()
    url = f"sqlite:///{tmp_path / 'var' / 'worklist.db'}"
    upgrade(url)
    with open_worklist(url) as opened:
        yield opened


@contextmanager
def served(folder: Path) -> Iterator[tuple[Role, httpx2.Client]]:
    """`dicomnode web` as a process, and a reader of it."""
    path = folder / "config.toml"
    path.write_text(CONFIG)
    role = Role("web", path, folder / "web.log")
    role.start()
    try:
        role.ready("web.ready")
        url = f"http://127.0.0.1:{role.said('web.ready')[-1]['port']}"
        with httpx2.Client(base_url=url, timeout=HANG_SECONDS) as client:
            yield role, client
    finally:
        role.kill()


def ids(lines: Iterator[str], last: int) -> list[int]:
    """Numbers of the events of a stream, up to ``last``."""
    seen: list[int] = []
    while not seen or seen[-1] < last:
        line = next(lines)
        if line.startswith("id:"):
            seen.append(int(line[3:]))
    return seen


def test_56_live_readers_see_what_is_received_and_resume_where_they_were(
    tmp_path: Path, worklist: Worklist
) -> None:
    with served(tmp_path) as (role, client), ExitStack() as open_streams:
        streams = [
            open_streams.enter_context(client.stream("GET", "/events")).iter_lines()
            for _ in range(10)
        ]
        for number in range(20):
            worklist.intake.record(making.received(study=f"1.2.5.{number}"))
        last = worklist.views.last_seq()
        whole = list(range(1, last + 1))
        assert [ids(one, last) for one in streams] == [whole] * len(streams)
        after = {"Last-Event-ID": str(last - 5)}
        with client.stream("GET", "/events", headers=after) as again:
            assert ids(again.iter_lines(), last) == whole[-5:]
        assert client.get("/readyz").json() == {"status": "ok"}
        assert role.terminate() == 0


def test_56_a_port_in_use_refuses_the_start_with_its_remedy(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = int(other.getsockname()[1])
        with (
            pytest.raises(ConfigError, match=r"or set web\.host or web\.port"),
            listening("127.0.0.1", port),
        ):
            pass


def test_56_what_people_do_on_the_pages_is_in_the_audit_trail(
    tmp_path: Path, worklist: Worklist
) -> None:
    from dicomnode.processes.auditing import last_entries

    with served(tmp_path) as (role, client):
        page = client.get("/sign-in").text
        token = page.partition('name="csrf" value="')[2].partition('"')[0]
        form = {"csrf": token, "name": "mallory", "password": "guess"}
        assert client.post("/sign-in", data=form).status_code == 401
        assert role.terminate() == 0
    entries = last_entries(load(tmp_path / "config.toml"), 10)
    (tried,) = [one for one in entries if "Login" in one]
    assert "FAILED" in tried
    assert "mallory (127.0.0.1)" in tried
