"""What the pages let people do to jobs and studies, and that it bears their name."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.contract.worklist import making
from tests.web.conftest import (
    STUDIES,
    Hands,
    browser,
    csrf,
    instances,
    sign_in,
    state_of,
)


def scheduled(hands: Hands) -> str:
    """A job that waits for a worker."""
    making.scheduled(hands.worklist, study="1.2.3.9")
    rows = hands.worklist.views.worklist(state="SCHEDULED")
    return str(rows[0]["job_id"])


def post(client, path: str, **form: str):
    return client.post(path, data={"csrf": csrf(client.get("/").text), **form})


def last_event(hands: Hands) -> dict:
    return hands.worklist.views.events()[-1]


def held(hands: Hands, job_id: str) -> bool:
    (row,) = hands.worklist.views.job(job_id)
    return bool(row["held_at"])


def test_an_operator_holds_releases_and_cancels_a_job(closed):
    job, client = scheduled(closed), browser(closed)
    sign_in(client, "otto")
    assert "/hold" in client.get(f"/jobs/{job}").text
    assert post(client, f"/jobs/{job}/hold").status_code == 200
    assert held(closed, job)
    assert "/release" in client.get(f"/jobs/{job}").text
    post(client, f"/jobs/{job}/release")
    assert not held(closed, job)
    post(client, f"/jobs/{job}/cancel")
    (row,) = closed.worklist.views.job(job)
    assert row["job_state"] == "CANCELED"
    assert "otto" in last_event(closed)["detail"]
    acts = [one for one in closed.room.witness.seen if one[0] == "otto"]
    assert [("otto", act, job) for act in ("hold", "release", "cancel")] == acts[1:]


def test_what_was_sent_is_sent_again_and_what_was_not_is_refused(closed):
    client = browser(closed)
    sign_in(client, "otto")
    assert post(client, f"/jobs/{closed.jobs['done']}/resend").status_code == 200
    (row,) = closed.worklist.views.deliveries(closed.jobs["done"])
    assert row["state"] == "PENDING"
    assert "otto" in last_event(closed)["detail"]
    assert post(client, f"/jobs/{closed.jobs['failed']}/resend").status_code == 409
    acts = [one for one in closed.room.witness.seen if one[1] == "resend"]
    assert acts == [("otto", "resend", closed.jobs["done"])]


def test_an_act_that_is_not_allowed_now_is_refused_and_not_noted(closed):
    client = browser(closed)
    sign_in(client, "otto")
    assert post(client, f"/jobs/{closed.jobs['done']}/cancel").status_code == 409
    assert state_of(closed, "done") == "COMPLETED"
    assert [one[1] for one in closed.room.witness.seen] == ["signed in"]


def test_only_an_admin_with_a_reason_removes_a_study(closed, tmp_path):
    one, store = making.received(study="1.2.3.7"), instances(tmp_path)
    stored = store.put(one.key, [b"pixels"])
    closed.worklist.intake.record(replace(one, stored=stored))
    client, path = browser(closed), "/studies/1.2.3.7/purge"
    page = f"/jobs/{closed.jobs['failed']}"
    sign_in(client, "otto")
    assert "/purge" not in client.get(page).text
    assert post(client, path, reason="duplicate").status_code == 403
    sign_in(client, "anna")
    assert "/purge" in client.get(page).text
    assert post(client, path, reason=" ").status_code == 422
    assert list(store.locations()) == [stored.location]
    assert post(client, path, reason="duplicate").status_code == 200
    assert not list(store.locations())
    rows = closed.worklist.views.worklist()
    assert "1.2.3.7" not in {row["study_instance_uid"] for row in rows}
    assert "anna" in last_event(closed)["detail"]
    assert "duplicate" in last_event(closed)["detail"]


@pytest.mark.parametrize("act", ["retry", "cancel", "hold", "release", "resend"])
def test_every_act_asks_for_a_role_and_a_form_of_ours(closed, act):
    client, path = browser(closed), f"/jobs/{closed.jobs['failed']}/{act}"
    sign_in(client, "vera")
    assert post(client, path).status_code == 403
    sign_in(client, "otto")
    assert client.post(path, data={"csrf": "guessed"}).status_code == 403
    assert state_of(closed, "failed") == "FAILED"


def test_signing_in_and_out_and_reading_a_report_are_witnessed(closed):
    client = browser(closed)
    form = {"csrf": csrf(client.get("/sign-in").text), "name": "anna", "password": "no"}
    client.post("/sign-in", data=form)
    sign_in(client, "vera")
    client.get(f"/jobs/{closed.jobs['done']}")
    post(client, "/sign-out")
    assert closed.room.witness.seen == [
        ("anna", "signed in", "wrong name or secret"),
        ("vera", "signed in", ""),
        ("vera", "shown", STUDIES["done"]),
        ("vera", "signed out"),
    ]
