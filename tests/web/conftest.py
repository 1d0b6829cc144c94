"""A room over a real worklist and real result objects, and browsers in it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from pydicom.dataset import Dataset

from dicomnode import web
from dicomnode.domain.association import Association
from dicomnode.domain.job import JobState
from dicomnode.errors import UnknownStudy, Unreachable
from dicomnode.health.looking import Surroundings, look
from dicomnode.housekeeping.purging import Purger
from dicomnode.results import build
from dicomnode.store import LocalStore
from dicomnode.web.access import Account, Accounts, Role, hashed
from dicomnode.worklist import Worklist, open_worklist, upgrade
from tests.contract.worklist import making
from tests.unit.results import cases

PASSWORD = "correct horse battery"
SECRET = hashed(PASSWORD)
BUNDLES = Path(__file__).parents[2] / "model" / "bundles"
STUDIES = {
    "done": "1.2.3.1",
    "failed": "1.2.3.2",
    "waiting": "1.2.3.3",
    "dead": "1.2.3.4",
}


@dataclass
class Hands:
    """What the tests look at from behind: the worklist, and the clock."""

    worklist: Worklist
    room: web.Room
    jobs: dict[str, str] = field(default_factory=dict)


@dataclass
class Noted:
    """A witness that remembers what it has seen."""

    seen: list[tuple[str, ...]] = field(default_factory=list)

    def acted(self, who, act, about):
        self.seen.append((who.name, act, about))

    def shown(self, who, study_instance_uid):
        self.seen.append((who.name, "shown", study_instance_uid))

    def signed_in(self, who, error=""):
        self.seen.append((who.name, "signed in", error))

    def signed_out(self, who):
        self.seen.append((who.name, "signed out"))


class Noon:
    def now(self):
        return making.after(600)


@pytest.fixture
def hands(tmp_path: Path) -> Iterator[Hands]:
    url = f"sqlite:///{tmp_path / 'worklist.db'}"
    upgrade(url)
    with open_worklist(url) as worklist:
        jobs = fill(worklist)
        yield Hands(worklist, room(worklist, tmp_path, jobs), jobs)


def fill(worklist: Worklist) -> dict[str, str]:
    """Studies in each state that a page must show."""
    jobs = {}
    results = [making.new_result(1, "PACS", study=STUDIES["done"])]
    jobs["done"] = making.finished(worklist, *results, study=STUDIES["done"]).job_id
    making.delivered(worklist)
    job = making.claimed(worklist, study=STUDIES["failed"])
    worklist.jobs.fail(job, "no pixels; see the log", None, making.after(5))
    jobs["failed"] = job.job_id
    dead = [making.new_result(1, "PACS", study=STUDIES["dead"])]
    jobs["dead"] = making.finished(worklist, *dead, study=STUDIES["dead"]).job_id
    for delivery in worklist.outbox.due("PACS", making.after(9), 60, 10):
        worklist.outbox.postpone(
            delivery, 0xA900, "refused; ask", None, making.after(9)
        )
    worklist.intake.record(
        making.received(
            study=STUDIES["waiting"],
            at=making.after(590),
            attributes={
                "Modality": "DX",
                "AccessionNumber": "<script>alert(1)</script>",
            },
            calling_ae_title="<b>XR</b>",
        )
    )
    worklist.intake.record_association(
        Association(
            making.after(1),
            "CT9",
            "DICOMNODE",
            "10.0.0.9",
            False,
            "calling AE title 'CT9' is not a known peer",
            '[[peer]]\nae_title = "CT9"',
        )
    )
    return jobs


def instances(folder: Path) -> LocalStore:
    return LocalStore(folder / "instances", 100)


def room(worklist: Worklist, folder: Path, jobs: dict[str, str]) -> web.Room:
    def results(job_id: str) -> Sequence[Dataset]:
        if job_id != jobs["done"]:
            raise UnknownStudy("the job has no report; its timeline says why")
        kinds = ("sr", "sc")
        built = build(cases.context(cases.source()), cases.positive(), kinds)
        return [one.dataset for one in built]

    def echo(name: str) -> float:
        if name == "DOWN":
            raise Unreachable("nobody answers; start the archive")
        return 0.0123

    clock = Noon()
    purger = Purger(
        worklist.purge, instances(folder), LocalStore(folder / "results", 100)
    )
    around = Surroundings(folder, "", 100, {"PACS", "DOWN"}, 60)
    return web.Room(
        site=web.Site(
            "DICOMNODE",
            "0.0.0.0",
            11112,
            peers=(web.Peer("CT1", ("10.0.0.1",)),),
            destinations=(
                web.Destination("PACS", "ORTHANC", "10.0.0.2", 104),
                web.Destination("DOWN", "GONE", "10.0.0.3", 104),
            ),
            pipelines=(web.Pipeline("cxr", "cxr-qc", "active", ("PACS",)),),
        ),
        accounts=Accounts({}, Role.VIEWER),
        views=worklist.views,
        desk=worklist.desk,
        holds=worklist.holds,
        backfills=worklist.backfills,
        witness=Noted(),
        clock=clock,
        look=lambda: look(worklist.views, clock.now(), around),
        results=results,
        instances=worklist.studies.instances,
        cards=lambda: [web.card("cxr", "active", BUNDLES / "cxr-qc", folder / "no")],
        audit=lambda _who, limit: ["<AuditMessage/>"][:limit],
        purge=lambda who, study, reason: purger.run(
            study, clock.now(), who.name, reason
        ),
        echo=echo,
    )


def account(name: str, role: Role, phi: bool = False) -> Account:
    return Account(name, role, SECRET, phi)


@pytest.fixture
def closed(hands: Hands) -> Hands:
    """The same room, with accounts, closed to strangers."""
    known = {
        "vera": account("vera", Role.VIEWER),
        "otto": account("otto", Role.OPERATOR),
        "anna": account("anna", Role.ADMIN, phi=True),
    }
    return replace(hands, room=replace(hands.room, accounts=Accounts(known, Role.NONE)))


def browser(hands: Hands) -> TestClient:
    app = web.create(hands.room, "secret", session_seconds=3600)
    return TestClient(app, base_url="http://node", follow_redirects=True)


def csrf(page: str) -> str:
    return page.partition('name="csrf" value="')[2].partition('"')[0]


def sign_in(client: TestClient, name: str) -> None:
    form = {"csrf": csrf(client.get("/sign-in").text), "name": name}
    answer = client.post("/sign-in", data={**form, "password": PASSWORD})
    assert answer.status_code == 200


def state_of(hands: Hands, which: str) -> str:
    (row,) = hands.worklist.views.job(hands.jobs[which])
    return JobState(row["job_state"]).value
