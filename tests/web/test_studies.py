"""The page of a study, with a job or without: seen, and acted on."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.contract.worklist import making
from tests.web.conftest import STUDIES, browser, csrf, instances, sign_in


def post(client, path, **form):
    token = csrf(client.get("/problems").text)
    return client.post(path, data={"csrf": token, **form})


def states(hands, which: str) -> set[str]:
    return {row["study_state"] for row in hands.worklist.views.study(STUDIES[which])}


def last(hands) -> dict:
    return hands.worklist.views.events()[-1]


def test_the_worklist_leads_to_a_study_that_has_no_job(hands):
    client, path = browser(hands), f"/studies/{STUDIES['waiting']}"
    assert f'href="{path}"' in client.get("/").text
    page = client.get(path).text
    (one,) = hands.worklist.studies.instances(STUDIES["waiting"])
    for words in ("RECEIVING", "study receive", one.sop_instance_uid, "DX"):
        assert words in page
    assert "&lt;b&gt;XR&lt;/b&gt;" in page
    assert "<b>XR" not in page


def test_a_study_leads_to_its_jobs_and_a_job_to_its_study(hands):
    client, job = browser(hands), hands.jobs["done"]
    study = f"/studies/{STUDIES['done']}"
    assert f'href="/jobs/{job}"' in client.get(study).text
    assert f'href="{study}"' in client.get(f"/jobs/{job}").text


def test_what_was_said_of_an_instance_stands_beside_it(hands):
    study = "1.2.3.8"
    hands.worklist.intake.record(making.received(study=study))
    hands.worklist.intake.record(making.received(study=study, content="another"))
    page = browser(hands).get(f"/studies/{study}").text
    table = page.partition("<h2>Instances")[2].partition("<h2>")[0]
    assert "instance conflict" in table


def test_a_study_that_is_not_there_is_told_so(hands):
    answer = browser(hands).get("/studies/9.9.9")
    assert answer.status_code == 404
    assert "the worklist names those there are" in answer.text


def test_an_operator_completes_holds_and_releases_a_study_without_a_job(closed):
    client, path = browser(closed), f"/studies/{STUDIES['waiting']}"
    sign_in(client, "otto")
    page = post(client, f"{path}/complete").text
    assert last(closed)["kind"] == "study force complete"
    assert "otto" in last(closed)["detail"]
    assert "Complete now" in page
    assert "Release" in post(client, f"{path}/hold").text
    assert last(closed)["kind"] == "study hold"
    assert "Hold" in post(client, f"{path}/release").text
    assert last(closed)["kind"] == "study release"
    acts = [one for one in closed.room.witness.seen if one[1] != "signed in"]
    assert acts == [
        ("otto", act, STUDIES["waiting"]) for act in ("complete", "hold", "release")
    ]


def test_a_study_that_no_rule_wanted_is_routed_again(closed):
    (study,) = closed.worklist.studies.receiving()
    assert closed.worklist.studies.complete(study, making.after(700))
    (study,) = closed.worklist.studies.unrouted()
    assert closed.worklist.studies.route(study, [], "no rule", making.after(701))
    client, path = browser(closed), f"/studies/{STUDIES['waiting']}"
    sign_in(client, "otto")
    page = client.get(path).text
    assert "no rule" in page
    assert "no [[pipeline]] matches" in page
    assert post(client, f"{path}/reroute").status_code == 200
    assert states(closed, "waiting") == {"COMPLETE"}
    assert closed.room.witness.seen[-1] == ("otto", "reroute", STUDIES["waiting"])
    assert post(client, f"{path}/forget").status_code == 422


def test_an_admin_removes_a_study_that_has_no_job(closed, tmp_path):
    one, study = making.received(study="1.2.3.7"), "/studies/1.2.3.7"
    stored = instances(tmp_path).put(one.key, [b"pixels"])
    closed.worklist.intake.record(replace(one, stored=stored))
    client = browser(closed)
    sign_in(client, "otto")
    assert "/purge" not in client.get(study).text
    sign_in(client, "anna")
    assert f'action="{study}/purge"' in client.get(study).text
    assert post(client, f"{study}/purge", reason="sent twice").status_code == 200
    assert client.get(study).status_code == 404
    assert not list(instances(tmp_path).locations())


@pytest.mark.parametrize("act", ["complete", "reroute", "hold", "release", "purge"])
def test_every_act_asks_for_a_role_and_a_form_of_ours(closed, act):
    client, path = browser(closed), f"/studies/{STUDIES['waiting']}/{act}"
    sign_in(client, "vera")
    assert post(client, path, reason="x").status_code == 403
    sign_in(client, "anna")
    forged = client.post(path, data={"csrf": "guessed", "reason": "x"})
    assert forged.status_code == 403
    assert states(closed, "waiting") == {"RECEIVING"}
    assert len(closed.worklist.views.study(STUDIES["waiting"])) == 1
