"""Two worker processes of one node share the queue, and each job is done once."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
from pydicom.uid import ExplicitVRLittleEndian

from dicomnode.demo.minipacs import MiniPacs
from dicomnode.demo.phantoms import Exposure, Order, digital_radiograph, encoded
from model.phantom import chest
from tests.integration.rig import Node, storescu

N_STUDIES = 12

pytestmark = pytest.mark.peer


def radiograph(number: int, folder: Path) -> tuple[str, Path]:
    order = Order(number, "PHANTOM^TWO", "O", datetime.now(UTC))
    exposure = Exposure(chest(number % 3, view="PA", rows=300, columns=260))
    path = folder / f"{number}.dcm"
    ds = digital_radiograph(order, exposure)
    path.write_bytes(encoded(ds, ExplicitVRLittleEndian))
    return str(ds.StudyInstanceUID), path


def test_two_workers_of_one_node_do_each_job_once(tmp_path, require_command) -> None:
    require_command("storescu")
    with MiniPacs(tmp_path / "pacs", "ORTHANC") as pacs:
        node = Node(tmp_path / "node", pacs.port)
        text = node.config.read_text("utf-8")
        # One job at a time each, so that both are needed while studies wait.
        two = "[worker]\nprocesses = 2\nconcurrent_jobs = 1\ndecoders = 1"
        text = text.replace("[worker]", two)
        # Nobody dies here: a slow machine must not let a lease expire.
        text = text.replace("lease_seconds = 4", "lease_seconds = 600")
        node.config.write_text(text, "utf-8")
        studies = dict(radiograph(number, tmp_path) for number in range(N_STUDIES))
        with node.running():
            node.wait(lambda: len(idle(node)) == 2, "two workers to be ready")
            storescu(node.port, list(studies.values()))
            rows = node.settle(studies)
            node.wait(lambda: n_done(node) == N_STUDIES, "both to say what they did")
            workers = node.views.workers()
    assert {row["job_state"] for row in rows} == {"COMPLETED"}
    assert {row["attempts"] for row in rows} == {1}
    assert len({row["job_id"] for row in rows}) == N_STUDIES
    begun = [one["job_id"] for one in node.events("job claim")]
    assert sorted(begun) == sorted(row["job_id"] for row in rows)
    assert len(workers) == 2
    assert all(one["n_jobs"] > 0 for one in workers), workers
    reports = [one for one in node.views.deliveries() if one["result_kind"] == "sr"]
    assert len(reports) == N_STUDIES
    assert {one["state"] for one in reports} <= {"SENT", "COMMITTED"}


def idle(node: Node) -> list[dict]:
    return [one for one in node.views.workers() if one["state"] == "IDLE"]


def n_done(node: Node) -> int:
    return sum(one["n_jobs"] for one in node.views.workers())
