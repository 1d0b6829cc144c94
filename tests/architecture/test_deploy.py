"""What lies in deploy/ is checked by the programs it is for, and by the node itself."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"
UNITS = sorted((DEPLOY / "systemd").glob("*.service"))
LOCAL = {"LC_ALL": "C", "SYSTEMD_COLORS": "0", "PATH": os.environ.get("PATH", "")}
MOST_EXPOSED = 2.0
METRIC = re.compile(r"\bdicomnode_[a-z_]+")

RequireCommand = Callable[[str], str]


def unit_name(path: Path) -> str:
    """A template needs an instance to be a unit."""
    return path.name.replace("@.", "@1.")


@pytest.fixture
def units(tmp_path: Path) -> Path:
    """The units as they are, but for the program, which is not in /opt here."""
    for path in [*UNITS, DEPLOY / "systemd" / "dicomnode.target"]:
        text = path.read_text("utf-8")
        installed = text.replace("/opt/dicomnode/.venv/bin/dicomnode", "/bin/true")
        (tmp_path / unit_name(path)).write_text(installed)
    return tmp_path


@pytest.mark.peer
def test_the_units_are_as_systemd_wants_them(
    units: Path, require_command: RequireCommand
) -> None:
    names = [unit_name(path) for path in UNITS]
    argv = [require_command("systemd-analyze"), "verify", "--man=no"]
    said = subprocess.run(
        [*argv, *names, "dicomnode.target"],
        cwd=units,
        env={**LOCAL, "SYSTEMD_UNIT_PATH": f"{units}:"},
        capture_output=True,
        text=True,
    )
    assert (said.returncode, said.stdout + said.stderr) == (0, "")


@pytest.mark.peer
@pytest.mark.parametrize("path", UNITS, ids=lambda path: path.stem)
def test_the_units_are_hardened(
    units: Path, path: Path, require_command: RequireCommand
) -> None:
    argv = [require_command("systemd-analyze"), "security", "--offline=yes"]
    threshold = f"--threshold={MOST_EXPOSED * 10:.0f}"
    said = subprocess.run(
        [*argv, "--no-pager", threshold, unit_name(path)],
        cwd=units,
        env=LOCAL,
        capture_output=True,
        text=True,
    )
    (level,) = re.findall(r"Overall exposure level for \S+: (\d+\.\d)", said.stdout)
    assert float(level) <= MOST_EXPOSED, said.stdout


def test_each_role_has_a_unit_that_notifies_and_is_watched() -> None:
    from dicomnode.config import Config

    roles = set()
    for path in UNITS:
        text = path.read_text("utf-8")
        assert "\nType=notify\n" in text
        assert re.search(r"^WatchdogSec=(60|180)$", text, re.MULTILINE)
        credentials = re.findall(r"^LoadCredential=(\w+):dicomnode\.(\w+)$", text, re.M)
        assert credentials
        for name, file in credentials:
            assert name == file
            model: object = Config()
            for key in name.split("__"):
                model = getattr(model, key)
        (command,) = re.findall(r"^ExecStart=\S+ (\w+) ", text, re.MULTILINE)
        roles.add(command)
    assert roles == {"run", "receive", "work", "keep", "deliver", "web"}


@pytest.fixture(scope="module")
def metrics() -> set[str]:
    """The names that /metrics gives, where everything has something to say."""
    from prometheus_client import CollectorRegistry, generate_latest

    from dicomnode.web.watching import _backfills, _Node, _silences
    from tests.unit.health.snapshots import FULL

    registry = CollectorRegistry()
    registry.register(_Node(FULL))  # type: ignore[arg-type]
    text = generate_latest(registry).decode()
    names = {family.name for family in text_string_to_metric_families(text)}
    views = SimpleNamespace(worklist=lambda **_: [], backfills=list)
    site = SimpleNamespace(peers=[SimpleNamespace(ae_title="CT1")])
    room: Any = SimpleNamespace(views=views, site=site)
    return names | {_silences(room, FULL.now).name, _backfills(room).name}


def test_the_dashboard_shows_metrics_that_exist(metrics: set[str]) -> None:
    path = DEPLOY / "grafana" / "dashboards" / "dicomnode.json"
    board = json.loads(path.read_text("utf-8"))
    shown: set[str] = set()
    places = set()
    for panel in board["panels"]:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        assert (place["x"], place["y"]) not in places
        places.add((place["x"], place["y"]))
        assert panel["title"]
        assert panel["type"] in {"stat", "timeseries", "text", "table", "gauge"}
        for target in panel.get("targets", ()):
            found = set(METRIC.findall(target["expr"]))
            assert found, panel["title"]
            shown |= found
    assert shown <= metrics
    assert {panel["id"] for panel in board["panels"]} == set(
        range(1, len(board["panels"]) + 1)
    )
    # Whatever is measured is on it, but for what only tells versions apart.
    assert metrics - shown <= {"dicomnode_info"}
    text = json.dumps(board)
    assert "Research use only" in text


def test_the_alert_rules_are_of_metrics_that_exist(metrics: set[str]) -> None:
    rules = yaml.safe_load((DEPLOY / "prometheus" / "alerts.yml").read_text("utf-8"))
    (group,) = rules["groups"]
    for rule in group["rules"]:
        named = set(METRIC.findall(re.sub(r'"[^"]*"', "", rule["expr"])))
        assert named <= metrics
        assert rule["annotations"]["summary"]


@pytest.mark.peer
def test_the_alert_rules_are_as_prometheus_wants_them(
    require_command: RequireCommand,
) -> None:
    argv = [require_command("promtool"), "check", "rules"]
    said = subprocess.run(
        [*argv, str(DEPLOY / "prometheus" / "alerts.yml")],
        capture_output=True,
        text=True,
    )
    assert said.returncode == 0, said.stdout + said.stderr
    assert "SUCCESS" in said.stdout


@pytest.mark.peer
def test_the_alert_rules_fire_when_they_should(
    require_command: RequireCommand,
) -> None:
    cases = DEPLOY / "prometheus" / "alerts_test.yml"
    argv = [require_command("promtool"), "test", "rules", cases.name]
    said = subprocess.run(argv, cwd=cases.parent, capture_output=True, text=True)
    assert said.returncode == 0, said.stdout + said.stderr


LOGGED = """
import structlog
from dicomnode import telemetry

telemetry.configure("deliver", "json", "info")
log = structlog.get_logger("dicomnode.delivery.outbox")
log.info("delivery.sent", job_id="j1", destination="PACS", status="0x0000")
log.error("worker.bundle_refused", pipeline="cxr-qc", error="not signed")
"""


@pytest.mark.peer
def test_lnav_reads_our_logs(tmp_path: Path, require_command: RequireCommand) -> None:
    formats = tmp_path / ".lnav" / "formats" / "installed"
    formats.mkdir(parents=True)
    text = (DEPLOY / "lnav" / "dicomnode.json").read_text("utf-8")
    (formats / "dicomnode.json").write_text(text)
    log = tmp_path / "node.log"
    with log.open("w") as file:
        run = [sys.executable, "-c", LOGGED]
        subprocess.run(run, stdout=file, check=True, cwd=ROOT)
    query = ";SELECT log_level, role, log_body, job_id, error FROM dicomnode_log"
    said = subprocess.run(
        [require_command("lnav"), "-n", "-c", query, "-c", ":write-csv-to -", str(log)],
        env={**LOCAL, "HOME": str(tmp_path), "TERM": "dumb"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert said.stdout.splitlines()[1:] == [
        "info,deliver,delivery.sent,j1,<NULL>",
        "error,deliver,worker.bundle_refused,<NULL>,not signed",
    ]


def test_every_field_of_the_lnav_format_may_be_logged() -> None:
    from dicomnode.telemetry import FIELDS

    text = (DEPLOY / "lnav" / "dicomnode.json").read_text("utf-8")
    fields = set(json.loads(text)["dicomnode_log"]["value"]) - {"elapsed_seconds"}
    assert fields <= FIELDS


def test_datasette_has_the_queries_of_the_document() -> None:
    page = (ROOT / "docs" / "worklist-sql.md").read_text("utf-8")
    documented = {
        " ".join(query.split())
        for query in re.findall(r"```sql\n(.*?)```", page, re.DOTALL)
    }
    text = (DEPLOY / "datasette" / "datasette.yml").read_text("utf-8")
    (database,) = yaml.safe_load(text)["databases"].values()
    canned = {" ".join(one["sql"].split()) for one in database["queries"].values()}
    # Identity is for whoever asks the database itself.
    assert {one for one in documented if "v1_identity" not in one} == canned
    assert all(one["title"] for one in database["queries"].values())
    hidden = database["tables"]["v1_identity"]
    assert hidden["allow"] is False
