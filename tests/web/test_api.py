"""The API for programs, the feed, and what machines watch."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from prometheus_client.parser import text_string_to_metric_families

from dicomnode import web
from dicomnode.errors import WorklistError
from tests.contract.worklist import making
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
    for name in ("deliveries", "workers", "associations", "chores"):
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
    text = here(hands).get("/metrics").text
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
    # Of peers only: what a stranger calls himself is no label.
    silent = {key[1]: n for key, n in found.items() if "silent" in key[0]}
    (row,) = [
        one
        for one in hands.worklist.views.senders(making.after(-600))
        if one["calling_ae_title"] == "CT1"
    ]
    last_at = datetime.fromisoformat(row["last_at"])
    assert silent == {"CT1": (making.after(600) - last_at).total_seconds()}
    assert STUDIES["done"] not in text


def test_every_metric_is_documented_and_every_alert_uses_one():
    documented = set(re.findall(r"^\| `(dicomnode_\w+)`", OPERATIONS, re.MULTILINE))
    source = (ROOT / "dicomnode" / "web" / "watching.py").read_text("utf-8")
    made = {f"dicomnode_{name}" for name in re.findall(r'_gauge\("(\w+)"', source)}
    made |= {"dicomnode_info", "dicomnode_studies", "dicomnode_jobs"}
    made |= {"dicomnode_deliveries", "dicomnode_destination_unreachable_seconds"}
    made |= {"dicomnode_sender_silent_seconds"}
    made |= {"dicomnode_chore_last_success_seconds", "dicomnode_role_processes"}
    made |= {"dicomnode_backfill_studies"}
    assert documented == made
    alerts = (ROOT / "deploy" / "prometheus" / "alerts.yml").read_text("utf-8")
    assert set(re.findall(r"dicomnode_\w+", alerts)) <= documented


def test_every_page_is_documented(hands):
    app = web.create(hands.room, "secret", session_seconds=60)
    own = {"/sign-in", "/static", "/healthz", "/readyz", "/metrics", "/events"}
    for route in app.routes:
        path = getattr(route, "path", "")
        if "GET" in (getattr(route, "methods", None) or ()) and path not in own:
            shown = path.replace("{job_id}", "JOB")
            shown = shown.replace("{study_instance_uid}", "UID")
            assert f"`{shown}`" in OPERATIONS or shown.startswith(("/api", "/jobs")), (
                path
            )


def test_one_live_page_too_many_is_told_so(hands):
    client = browser(hands)
    client.app.state.readers.update(range(hands.room.most_streams))
    answer = client.get("/events")
    assert answer.status_code == 503
    assert answer.headers["Retry-After"] == "5"
    assert answer.json()["error"].endswith("close some, or raise web.max_streams")


def here(hands) -> TestClient:
    """A program on the machine itself."""
    app = web.create(hands.room, "secret", session_seconds=3600)
    return TestClient(app, client=("127.0.0.1", 50000))


class Down:
    """The views while the database does not answer."""

    def last_seq(self):
        raise WorklistError("db.hospital.example does not answer; start it")


def test_health_is_open_to_all_and_says_up_or_down_and_nothing_else(closed):
    client = browser(closed)
    assert client.get("/healthz").json() == {"status": "ok"}
    assert client.get("/readyz").json() == {"status": "ok"}
    down = browser(replace(closed, room=replace(closed.room, views=Down())))
    answer = down.get("/readyz")
    assert answer.status_code == 503
    assert answer.json() == {"status": "unavailable"}


def test_metrics_are_read_here_or_with_a_token(closed):
    far = browser(closed)
    answer = far.get("/metrics")
    assert answer.status_code == 401
    assert "Bearer NAME:TOKEN" in answer.json()["error"]
    assert far.get("/metrics", headers=bearer("vera")).status_code == 200
    assert here(closed).get("/metrics").status_code == 200


def test_what_a_proxy_on_the_machine_passes_on_is_not_from_here(closed):
    for header in ("X-Forwarded-For", "Forwarded", "Via"):
        answer = here(closed).get("/metrics", headers={header: "127.0.0.1"})
        assert answer.status_code == 401, header


def test_metrics_may_be_for_accounts_only_or_for_everyone(closed):
    strict = replace(closed, room=replace(closed.room, metrics="account"))
    assert here(strict).get("/metrics").status_code == 401
    assert here(strict).get("/metrics", headers=bearer("vera")).status_code == 200
    loose = replace(closed, room=replace(closed.room, metrics="anyone"))
    assert browser(loose).get("/metrics").status_code == 200
