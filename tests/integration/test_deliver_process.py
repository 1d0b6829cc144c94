"""`dicomnode deliver`: what it does beside sending holds up no result."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from threading import Event

import pytest

from dicomnode.config import load
from dicomnode.demo.program import Program, wait_until
from dicomnode.processes import waking
from dicomnode.store import LocalStore
from dicomnode.worklist import open_worklist
from tests.integration.delivering import Desk, MovedClock
from tests.integration.fake_pacs import FakePacs
from tests.integration.rig import HANG_SECONDS, Node


@dataclass
class Office:
    """A deliverer in a process of its own, and the desk from which it delivers."""

    node: Node
    desk: Desk
    pacs: FakePacs
    program: Program

    def wait(self, ready, what: str) -> None:
        if not wait_until(ready, self.program.check, HANG_SECONDS):
            pytest.fail(f"waited in vain for {what}: {self.program.tail()}")

    def resend(self, job_id: str) -> None:
        now = datetime.now(UTC)
        assert self.desk.worklist.desk.resend_deliveries(job_id, now) == 2


@contextmanager
def an_office(folder: Path, pacs: FakePacs, delivery: str = "") -> Iterator[Office]:
    with pacs.running():
        node = Node(folder / "node", pacs.port)
        words = node.config.read_text()
        words = words.replace("[delivery]", f"[delivery]\n{delivery}")
        # A PACS that thinks is not one that has gone.
        words = words.replace("timeout_seconds = 10", "timeout_seconds = 1000")
        off = '[[destination]]\nstorage_commitment = "off"'
        if not pacs.commitment:
            words = words.replace("[[destination]]", off)
        node.config.write_text(words)
        argv = node._argv("deliver")
        with open_worklist(node.url) as worklist:
            clock = MovedClock()
            clock.at = datetime.now(UTC)
            desk = Desk(worklist, LocalStore(node.folder / "var/results", 99), clock)
            log = folder / "deliver.log"
            with Program("deliver", argv, log, node._environ()) as program:
                yield Office(node, desk, pacs, program)


def test_a_result_is_sent_while_a_destination_thinks_about_a_commitment(
    tmp_path: Path,
) -> None:
    goes_on = Event()
    pacs = FakePacs(on_action=lambda: goes_on.wait(HANG_SECONDS) and None)
    with an_office(tmp_path, pacs) as office:
        try:
            job = office.desk.finished(["sr"])
            office.wait(lambda: len(pacs.requests) == 1, "the request")
            assert pacs.n_stores == 2
            office.resend(job.job_id)
            office.wait(lambda: pacs.n_stores == 4, "the same results again")
            assert len(pacs.requests) == 1
        finally:
            goes_on.set()
        office.wait(lambda: len(pacs.requests) == 2, "the second request")


def test_an_association_is_opened_when_results_are_announced(tmp_path: Path) -> None:
    asked: list[int] = []
    pacs = FakePacs(commitment=False, find=False)
    pacs.on_request = lambda: asked.append(pacs.n_stores)
    with an_office(tmp_path, pacs, "idle_seconds = 0.2") as office:
        folder = office.node.folder / "var" / "wake"
        office.wait(lambda: list(folder.glob("deliver-*.pipe")), "a pipe to hear on")
        office.desk.finished(["sr"])
        office.wait(lambda: pacs.n_stores == 2, "the first results")
        config = load(office.node.config)
        office.wait(lambda: pacs.n_released == len(asked), "the associations to end")
        before = len(asked)
        waking.announce(config, "deliver", ["NOBODY"])
        waking.announce(config, "deliver", ["NOBODY", "PACS"])
        office.wait(lambda: len(asked) > before, "an association ahead")
    assert asked[-1] == 2
