"""Dashboards, alerts and autoscalers ask for metrics that there are."""

from __future__ import annotations

import json
import re
from pathlib import Path

DEPLOY = Path(__file__).resolve().parents[3] / "deploy"
ROOT = DEPLOY.parent
DOCUMENTED = set(
    re.findall(
        r"^\| `(dicomnode_\w+)` \|",
        (ROOT / "docs" / "operations.md").read_text("utf-8"),
        re.MULTILINE,
    )
)
ASKING = [
    *(DEPLOY / "prometheus").glob("*.yml"),
    *(DEPLOY / "grafana" / "dashboards").glob("*.json"),
    *(DEPLOY / "kubernetes").rglob("autoscaler.yaml"),
]
# The adapter of the HorizontalPodAutoscaler makes it of dicomnode_jobs.
ADAPTED = {"dicomnode_jobs_scheduled"}


def test_every_metric_asked_for_is_documented() -> None:
    assert len(ASKING) >= 4
    for path in ASKING:
        names = set(re.findall(r"dicomnode_\w+", path.read_text("utf-8")))
        assert names <= DOCUMENTED | ADAPTED, path.name


def test_every_documented_metric_is_in_the_code() -> None:
    code = "".join(
        path.read_text("utf-8") for path in (ROOT / "dicomnode" / "web").glob("*.py")
    )
    for name in DOCUMENTED:
        short = name.removeprefix("dicomnode_")
        assert re.search(rf'"{short}"|"{name}"|\b{short}\b', code), name


def test_the_dashboard_shows_no_study() -> None:
    path = DEPLOY / "grafana" / "dashboards" / "dicomnode.json"
    dashboard = json.loads(path.read_text("utf-8"))
    assert "research use only" in dashboard["title"]
    assert len({one["id"] for one in dashboard["panels"]}) == len(dashboard["panels"])
