"""The API for programs, the feed, and what machines watch."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from dicomnode import web
from dicomnode.web.feed import MOST_READERS
from tests.web.conftest import PASSWORD, STUDIES, browser, state_of

ROOT = Path(__file__).parents[2]
OPERATIONS = (ROOT / "docs" / "operations.md").read_text("utf-8")


def bearer(name: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {name}:{PASSWORD}"}


def test_the_views_as_json(hands):
    client = browser(hands)
    rows = client.get("/api/v1/worklist").json()
    assert rows == hands.worklist.views.worklist()
    assert client.get("/api/v1/worklist?state=FAILED&limit=1").json() == [
        row for row in rows if row["job_state"] == "FAILED"
    ]
    assert client.get("/api/v1/events?after=3&limit=2").json() == (
        hands.worklist.views.events(3, 2)
    )
    for name in ("deliveries", "workers", "associations"):
        assert (
            client.get(f"/api/v1/{name}").json()
            == getattr(hands.worklist.views, name)()
        )


def test_status_says_what_is_wrong(hands):
    said = browser(hands).get("/api/v1/status").json()
    assert said["healthy"] is False
    assert {"what", "remedy", "examples"} <= set(said["problems"][0])
    assert "Research use only" in said["notice"]


@pytest.mark.parametrize(
    "path",
    ["/api/v1/worklist?state=LOST", "/api/v1/worklist?limit=0", "/api/v1/jobs/none"],
)
def test_errors_are_json_with_a_remedy(hands, path):
    answer = browser(hands).get(path)
    assert answer.status_code in {404, 422, 503}
    assert answer.json()["error"]


def test_a_token_is_needed_where_strangers_are_not_let_in(closed):
    client = browser(closed)
    assert client.get("/api/v1/worklist").status_code == 401
    wrong = {"Authorization": "Bearer vera:guessed"}
    assert client.get("/api/v1/worklist", headers=wrong).status_code in {401, 403}
    assert client.get("/api/v1/worklist", headers=bearer("vera")).status_code == 200


def test_acts_need_a_token_of_an_operator(closed):
    client, path = browser(closed), f"/api/v1/jobs/{closed.jobs['failed']}/retry"
    assert client.post(path).status_code == 401
    assert client.post(path, headers=bearer("vera")).status_code == 403
    assert state_of(closed, "failed") == "FAILED"
    answer = client.post(path, headers=bearer("otto"))
    assert answer.json()["job_state"] == "SCHEDULED"


def test_openapi_describes_the_api_and_nothing_else(hands):
    described = browser(hands).get("/api/v1/openapi.json").json()
    assert "/api/v1/worklist" in described["paths"]
    assert all(path.startswith("/api/v1/") for path in described["paths"])


def test_metrics_are_what_the_worklist_says(hands):
    text = browser(hands).get("/metrics").text
    found = {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }
    assert found["dicomnode_jobs", "FAILED"] == 1
    assert found["dicomnode_jobs", "COMPLETED"] == 2
    assert found["dicomnode_deliveries", "FAILED"] == 1
    assert found["dicomnode_studies", "RECEIVING"] == 1
    assert found["dicomnode_oldest_waiting_seconds",] == 10
    assert STUDIES["done"] not in text


def test_every_metric_is_documented_and_every_alert_uses_one():
    documented = set(re.findall(r"^\| `(dicomnode_\w+)`", OPERATIONS, re.MULTILINE))
    source = (ROOT / "dicomnode" / "web" / "watching.py").read_text("utf-8")
    made = {f"dicomnode_{name}" for name in re.findall(r'_gauge\("(\w+)"', source)}
    made |= {"dicomnode_info", "dicomnode_studies", "dicomnode_jobs"}
    assert documented == made | {"dicomnode_deliveries"}
    alerts = (ROOT / "deploy" / "prometheus" / "alerts.yml").read_text("utf-8")
    assert set(re.findall(r"dicomnode_\w+", alerts)) <= documented


def test_every_page_is_documented(hands):
    app = web.create(hands.room, "secret", session_seconds=60)
    own = {"/sign-in", "/static", "/healthz", "/readyz", "/metrics", "/events"}
    for route in app.routes:
        path = getattr(route, "path", "")
        if "GET" in (getattr(route, "methods", None) or ()) and path not in own:
            shown = path.replace("{job_id}", "JOB")
            assert f"`{shown}`" in OPERATIONS or shown.startswith(("/api", "/jobs")), (
                path
            )


def test_one_live_page_too_many_is_told_so(hands):
    client = browser(hands)
    client.app.state.readers.update(range(MOST_READERS))
    answer = client.get("/events")
    assert answer.status_code == 503
    assert answer.json()["error"] == "too many live pages are open; close some"


def test_health(hands):
    client = browser(hands)
    assert client.get("/healthz").json()["status"] == "ok"
    assert client.get("/readyz").json() == {"status": "ok"}
