"""What the pages show, what they hide, and what they let whom do."""

from __future__ import annotations

import re

import pytest

from dicomnode.domain.backfill import FoundStudy, NewBackfill
from dicomnode.domain.chore import ChoreRun
from dicomnode.domain.job import Worker
from tests.contract.worklist import making
from tests.web.conftest import STUDIES, browser, csrf, sign_in, state_of

PAGES = [
    "/",
    "/problems",
    "/destinations",
    "/associations",
    "/models",
    "/stats",
    "/backfill",
]
PAGES += ["/connect", "/sign-in"]


@pytest.mark.parametrize("path", PAGES)
def test_every_page_says_research_use_only_and_loads_nothing_from_elsewhere(
    hands, path
):
    answer = browser(hands).get(path)
    assert answer.status_code == 200
    assert "Research use only" in answer.text
    assert not re.search(r"""(src|href|action)=["'](?!/|data:|#|")""", answer.text)
    policy = answer.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert answer.headers["Cache-Control"] == "no-store"


def test_the_worklist_shows_every_study_and_escapes_what_senders_say(hands):
    page = browser(hands).get("/").text
    assert page.count('<tr role="row">') == 1 + len(STUDIES)
    assert page.count("<code>#") == len([job for job in hands.jobs.values() if job])
    assert "&lt;b&gt;XR&lt;/b&gt;" in page
    assert "<b>XR" not in page


def test_the_worklist_is_filtered(hands):
    client = browser(hands)
    page = client.get("/?state=FAILED").text
    assert hands.jobs["failed"] in page
    assert hands.jobs["done"] not in page
    assert hands.jobs["done"] not in client.get("/?ae=NOBODY").text


def test_pages_of_the_worklist_hold_every_study_once(hands):
    for number in range(60):
        study = f"1.2.4.{number}"
        hands.worklist.intake.record(
            making.received(study=study, at=making.after(-(number // 7)))
        )
    client, path, ages = browser(hands), "/", []
    while path:
        page = client.get(path).text
        ages += re.findall(r'<time datetime="([^"]*)"', page)
        older = re.search(r'rel="next" href="([^"]*)"', page)
        path = older[1].replace("&amp;", "&") if older else ""
    assert len(ages) == 60 + len(STUDIES)
    assert ages == sorted(ages, reverse=True)


def test_problems_come_with_their_remedies(hands):
    page = browser(hands).get("/problems").text
    assert "1 failed job(s)" in page
    assert "1 result(s) not delivered" in page
    assert "dicomnode retry" in page
    assert "no pixels; see the log" in page


def test_a_refused_sender_is_shown_with_the_lines_that_admit_it(hands):
    page = browser(hands).get("/associations?refused=true").text
    assert "CT9" in page
    assert "[[peer]]\nae_title = &#34;CT9&#34;" in page


def test_a_job_tells_its_story_and_shows_its_report(hands):
    client = browser(hands)
    page = client.get(f"/jobs/{hands.jobs['done']}").text
    for words in ("job schedule", "job finish", "delivery send", "Pneumothorax"):
        assert words in page
    picture = re.search(r'<img src="([^"]*)"', page)
    assert picture
    answer = client.get(picture[1])
    assert answer.headers["Content-Type"] == "image/jpeg"
    assert answer.content.startswith(b"\xff\xd8")


def test_a_job_without_report_says_why(hands):
    page = browser(hands).get(f"/jobs/{hands.jobs['failed']}").text
    assert "no report; its timeline says why" in page


def test_what_is_not_there_is_404_with_a_way_back(hands):
    client = browser(hands)
    for path in (
        "/jobs/nothing",
        f"/jobs/{hands.jobs['done']}/pictures/99",
        "/nowhere",
    ):
        answer = client.get(path)
        assert answer.status_code == 404
        assert 'href="/"' in answer.text


def test_patient_identity_only_for_accounts_that_may_see_it(closed):
    client = browser(closed)
    path = f"/jobs/{closed.jobs['done']}"
    sign_in(client, "vera")
    assert making.SECRET not in client.get(path).text
    sign_in(client, "anna")
    assert making.SECRET in client.get(path).text


def test_strangers_are_asked_to_sign_in(closed):
    client = browser(closed)
    for path in ("/", "/problems", f"/jobs/{closed.jobs['done']}", "/stats"):
        answer = client.get(path)
        assert answer.url.path == "/sign-in"
        assert making.STUDY not in answer.text


def test_a_wrong_password_begins_no_session(closed):
    client = browser(closed)
    form = {"csrf": csrf(client.get("/sign-in").text), "name": "anna", "password": "no"}
    answer = client.post("/sign-in", data=form)
    assert answer.status_code == 401
    assert client.get("/").url.path == "/sign-in"


def test_roles_decide_who_may_act(closed):
    client, path = browser(closed), f"/jobs/{closed.jobs['failed']}/retry"
    sign_in(client, "vera")
    page = client.get(f"/jobs/{closed.jobs['failed']}").text
    assert "/retry" not in page
    assert client.post(path, data={"csrf": csrf(page)}).status_code == 403
    assert state_of(closed, "failed") == "FAILED"
    sign_in(client, "otto")
    page = client.get(f"/jobs/{closed.jobs['failed']}").text
    assert client.post(path, data={"csrf": csrf(page)}).status_code == 200
    assert state_of(closed, "failed") == "SCHEDULED"
    assert client.get("/audit").status_code == 403
    sign_in(client, "anna")
    assert "&lt;AuditMessage/&gt;" in client.get("/audit").text


def test_a_form_of_another_site_does_nothing(closed):
    client, path = browser(closed), f"/jobs/{closed.jobs['failed']}/retry"
    sign_in(client, "otto")
    assert client.post(path).status_code == 403
    assert client.post(path, data={"csrf": "guessed"}).status_code == 403
    assert state_of(closed, "failed") == "FAILED"


def test_dead_letters_are_revived(closed):
    client = browser(closed)
    sign_in(client, "otto")
    page = client.get("/problems").text
    client.post(f"/jobs/{closed.jobs['dead']}/retry", data={"csrf": csrf(page)})
    (row,) = closed.worklist.views.deliveries(closed.jobs["dead"])
    assert row["state"] == "PENDING"


def test_the_chores_of_the_keeper_are_shown_with_their_last_run(hands):
    client = browser(hands)
    assert "No keeper has run yet." in client.get("/stats").text
    listed = {"retain": 3600.0, "route": 1.0, "sweep": 3600.0}
    hands.worklist.chores.enlist(listed, "host-1", making.NOON)
    at = making.after
    for run in (
        ChoreRun("retain", at(60), at(61.5), 7),
        ChoreRun("route", at(100), at(100), 0, "<b>no room</b>; free some"),
    ):
        hands.worklist.chores.ran(run)
    assert hands.worklist.upkeep.lead("host-1", at(595), 10)
    page = client.get("/stats", headers={"Accept-Language": "de"}).text
    retain, route, sweep = re.findall(r"<tr><td>(?:retain|route|sweep)</td>.*", page)
    assert ">1.5 s</td>" in retain
    assert ">7</td>" in retain
    assert "überfällig" not in retain
    assert "überfällig" in route
    assert "&lt;b&gt;no room&lt;/b&gt;; free some" in route
    assert "noch nicht" in sweep


def test_echo_says_how_it_went(closed):
    client = browser(closed)
    sign_in(client, "otto")
    page = client.get("/destinations").text
    well = client.post("/destinations/PACS/echo", data={"csrf": csrf(page)})
    assert "12.3 ms" in well.text
    down = client.post("/destinations/DOWN/echo", data={"csrf": csrf(page)})
    assert "nobody answers; start the archive" in down.text


def begun(rows):
    """A backfill of four studies, one of which has failed."""
    at = making.after
    new = NewBackfill("b1", "<ARCHIVE>", {"PatientName": making.SECRET})
    rows.start(new, "me", at(590), "ann")
    rows.add("b1", [FoundStudy(f"1.2.{one}", 1) for one in range(4)])
    study = rows.next("b1")
    for event, why in (("ask", ""), ("receive", ""), ("fail", "the job failed")):
        study = rows.move("b1", study, event, why, at(591))


def test_a_backfill_is_seen_paused_and_stopped(closed):
    rows = closed.worklist.backfills
    client = browser(closed)
    sign_in(client, "otto")
    assert "Nothing was brought in" in client.get("/backfill").text
    begun(rows)
    page = client.get("/backfill").text
    assert '<progress max="4" value="1">' in page
    assert "&lt;ARCHIVE&gt;" in page
    assert "the job failed" in page
    assert making.SECRET not in page
    form = {"csrf": csrf(page)}
    page = client.post("/backfill/b1/pause", data=form).text
    assert rows.is_paused("b1")
    assert "Paused" in page
    page = client.post("/backfill/b1/go-on", data=form).text
    assert not rows.is_paused("b1")
    page = client.post("/backfill/b1/stop", data=form).text
    assert "Stops after the study in hand" in page
    assert not rows.still_ours("b1", "me", making.after(600))
    acts = ("pause backfill", "continue backfill", "stop backfill")
    seen = closed.room.witness.seen
    assert [one for one in seen if one[-1] == "b1"] == [
        ("otto", act, "b1") for act in acts
    ]
    assert client.post("/backfill/none/stop", data=form).status_code == 404
    other = browser(closed)
    sign_in(other, "vera")
    page = other.get("/backfill").text
    assert "/backfill/b1/pause" not in page
    form = {"csrf": csrf(page)}
    assert other.post("/backfill/b1/pause", data=form).status_code == 403


def test_signing_out_ends_the_session(closed):
    client = browser(closed)
    sign_in(client, "vera")
    client.post("/sign-out", data={"csrf": csrf(client.get("/").text)})
    assert client.get("/").url.path == "/sign-in"


def test_a_proxy_at_its_address_says_who_has_signed_in(closed):
    from dataclasses import replace

    for hosts, reached in (({"testclient"}, "/"), ({"10.0.0.1"}, "/sign-in")):
        accounts = replace(
            closed.room.accounts, proxy_header="X-User", proxy_hosts=frozenset(hosts)
        )
        behind = replace(closed, room=replace(closed.room, accounts=accounts))
        answer = browser(behind).get("/", headers={"X-User": "vera"})
        assert answer.url.path == reached


def test_the_workers_say_what_they_run_and_how_fast_it_goes(hands):
    worker = Worker(
        "w1", "node1", "cpu", "cxr-qc 1.0.0 (torch bfloat16)", "BUSY",
        hands.jobs["done"], making.NOON, 12, 340.4, 2.54,
    )  # fmt: skip
    hands.worklist.jobs.heartbeat(worker)
    making.scheduled(hands.worklist, study="1.2.99", at=making.NOON)
    page = browser(hands).get("/problems").text
    for words in ("cxr-qc 1.0.0 (torch bfloat16)", ">340<", ">2.5 s<"):
        assert words in page
    assert f"#{hands.jobs['done'][:8]}" in page
    assert "Oldest waiting job" in page
