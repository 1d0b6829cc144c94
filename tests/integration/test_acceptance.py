"""`dicomnode acceptance`: a good node passes, a broken one gets a failing report."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from dicomnode.acceptance.main import CASES
from dicomnode.config import load
from dicomnode.delivery.storage_scu import Peer, StorageScu
from dicomnode.demo.program import Program, free_port, wait_until
from dicomnode.demo.stage import environment
from dicomnode.errors import DeliveryError
from dicomnode.processes.clock import SystemClock
from dicomnode.worklist import open_views

CALLING = "DNACCEPTANCE"
HANG_SECONDS = 300
BASIS = """
[node]
ae_title = "KLINIK"
data_dir = "var"

[receiver]
host = "127.0.0.1"
port = {port}

[store]
watermark_percent = {watermark}

[audit]
site_id = "Klinik <Nord>"
"""


def run(*options: str, code: int) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "dicomnode", "acceptance", *options],
        capture_output=True,
        text=True,
        env=environment(),
    )
    said = done.stdout + done.stderr
    assert done.returncode == code, said
    return said


def report(out: Path) -> dict[str, object]:
    (file,) = out.glob("acceptance-*.json")
    page = file.with_suffix(".html").read_text("utf-8")
    table = json.loads(file.read_text("utf-8"))
    assert "Research use only" in page
    assert "Signature" in page
    for case in table["cases"]:
        assert case["name"] in page
    return table


def verdicts(table: dict[str, object]) -> dict[str, str]:
    return {case["name"]: case["verdict"] for case in table["cases"]}


@contextmanager
def receiver(folder: Path, watermark: float = 100) -> Iterator[Path]:
    """A receiver alone, as a site's node; the configuration."""
    port, file = free_port(), folder / "config.toml"
    file.write_text(BASIS.format(port=port, watermark=watermark), "utf-8")
    with file.open("a", encoding="utf-8") as config:
        config.write(run("--lines", "--config", str(file), code=0))
    command = [sys.executable, "-m", "dicomnode", "receive", "--config", str(file)]
    with Program("the node", command, folder / "node.log", environment()) as node:
        peer = Peer("KLINIK", "127.0.0.1", port, CALLING)
        scanner = StorageScu(peer, SystemClock())

        def answers() -> bool:
            try:
                scanner.echo()
            except DeliveryError:
                return False
            return True

        assert wait_until(answers, node.check, HANG_SECONDS), node.tail()
        yield file


@pytest.mark.slow
def test_a_node_with_the_shipped_bundle_passes_every_case(tmp_path: Path) -> None:
    out = tmp_path / "out"
    basis = tmp_path / "config.toml"
    basis.write_text('[node]\ndata_dir = "var"\n[worker]\ndevice = "cpu"\n')
    run("--own-node", "--out", str(out), "--config", str(basis), code=0)
    table = report(out)
    found = verdicts(table)
    assert list(found) == [*(one.name for one in CASES), "purge"]
    assert set(found.values()) == {"pass"}
    assert table["passed"] is True
    assert table["bundles"][0].startswith("cxr-qc sha256 ")
    assert [one.suffix for one in sorted(out.iterdir())] == [".html", ".json"]
    assert not (tmp_path / "var").exists(), "the site's own folder is left alone"


def test_a_node_that_takes_no_image_gets_a_failing_report(tmp_path: Path) -> None:
    out = tmp_path / "out"
    with receiver(tmp_path, watermark=0.000001) as file:
        port = load(file).receiver.port
        to = f"KLINIK@127.0.0.1:{port}"
        cases = ("verification", "slow-peer", "duplicate")
        chosen = [word for name in cases for word in ("--case", name)]
        said = run(
            "--to", to, "--out", str(out), "--config", str(file), *chosen, code=3
        )
    table = report(out)
    assert verdicts(table) == {
        "verification": "pass",
        "slow-peer": "fail",
        "duplicate": "not run",
        "purge": "not run",
    }
    (failed,) = [one for one in table["cases"] if one["verdict"] == "fail"]
    assert "A700H" in failed["seen"]
    assert failed["remedy"] in said
    assert table["passed"] is False
    assert table["site"] == "Klinik <Nord>"
    page = next(out.glob("*.html")).read_text("utf-8")
    assert "Not accepted: 1 of 2 cases failed" in page
    assert "Klinik &lt;Nord&gt;" in page


def test_the_running_node_is_tested_through_the_lines_that_are_printed(
    tmp_path: Path,
) -> None:
    out = tmp_path / "out"
    names = ("unknown-ae", "refused-context", "mismatch")
    chosen = [word for name in names for word in ("--case", name)]
    with receiver(tmp_path) as file:
        run("--out", str(out), "--config", str(file), *chosen, code=0)
        views = open_views(load(file).worklist_url)
        assert views.worklist() == []
        refused = views.associations(refused_only=True)
        views.close()
    assert verdicts(report(out)) == dict.fromkeys((*names, "purge"), "pass")
    (unknown,) = [
        one for one in refused if one["calling_ae_title"].startswith("NOBODY")
    ]
    assert unknown["calling_ae_title"] in unknown["remedy"]


def test_a_node_that_is_not_there_fails_every_case(tmp_path: Path) -> None:
    to = f"KLINIK@127.0.0.1:{free_port()}"
    config = tmp_path / "config.toml"
    config.write_text("")
    run("--to", to, "--out", str(tmp_path), "--config", str(config), "--case",
        "refused-context", "--case", "verification", code=3)  # fmt: skip
    table = report(tmp_path)
    assert verdicts(table)["verification"] == "fail"
    (seen,) = [
        one["seen"] for one in table["cases"] if one["name"] == "refused-context"
    ]
    assert "check that the node runs" in seen
