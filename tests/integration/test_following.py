"""Quality control decides what runs next: configuration, router and worklist."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from dicomnode import config
from dicomnode.domain.findings import Presence
from dicomnode.domain.job import Outcome
from dicomnode.processes import wiring
from dicomnode.router import Router
from dicomnode.worklist import Worklist, open_worklist, upgrade
from tests.contract.worklist.making import (
    NOON,
    after,
    current,
    kinds,
    received,
)

CONFIG = """
[[pipeline]]
name = "cxr-qc"
bundle = "cxr-qc"
match = { Modality = ["CR", "DX"] }
mode = "shadow"
[[pipeline]]
name = "classify"
bundle = "classify"
match = { Modality = "DX" }
mode = "shadow"
after = "cxr-qc"
findings = { inverted = "ABSENT", rotated-90 = ["ABSENT", "UNDETERMINED"] }
"""
A, P, U = Presence.ABSENT, Presence.PRESENT, Presence.UNDETERMINED


class Later:
    def now(self):
        return after(60)


@pytest.fixture
def worklist(tmp_path: Path) -> Iterator[Worklist]:
    url = f"sqlite:///{tmp_path / 'worklist.db'}"
    upgrade(url)
    with open_worklist(url) as opened:
        yield opened


@pytest.fixture
def router(tmp_path: Path, worklist: Worklist) -> Router:
    path = tmp_path / "config.toml"
    path.write_text(CONFIG)
    environ = {"CREDENTIALS_DIRECTORY": str(tmp_path / "none")}
    rules = wiring.rules(config.load(path, environ=environ))
    return Router(worklist.studies, rules, Later())


def quality_control(
    worklist: Worklist, router: Router, found: dict[str, Presence], modality: str = "DX"
) -> None:
    """A study whose quality control has ended, and what the router makes of it."""
    worklist.intake.record(received(attributes={"Modality": modality}))
    worklist.studies.complete(current(worklist), NOON)
    router.run_once()
    (job,) = worklist.jobs.claim("w", ["cxr-qc", "classify"], after(60), 60, limit=9)
    assert job.pipeline == "cxr-qc"
    assert router.run_once() == 0  # nothing follows a job that has not ended
    worklist.jobs.finish(job, Outcome.ANALYSED, "", [], after(61), found)
    router.run_once()
    assert router.run_once() == 0


def test_a_good_image_goes_on(worklist: Worklist, router: Router) -> None:
    quality_control(worklist, router, {"inverted": A, "rotated-90": U})
    (job,) = worklist.jobs.claim("w", ["classify"], after(62), 60)
    assert job.revision == 1
    assert "job skip" not in kinds(worklist)


def test_an_inverted_image_does_not_and_the_feed_says_why(
    worklist: Worklist, router: Router
) -> None:
    quality_control(worklist, router, {"inverted": P, "rotated-90": A})
    assert worklist.jobs.claim("w", ["classify"], after(62), 60) == []
    (told,) = (e for e in worklist.views.events() if e["kind"] == "job skip")
    assert told["detail"] == (
        "pipeline classify: cxr-qc says PRESENT of 'inverted', admitted is ABSENT"
    )


def test_a_study_that_the_second_does_not_match_is_no_skip(
    worklist: Worklist, router: Router
) -> None:
    quality_control(worklist, router, {"inverted": P}, modality="CR")
    assert "job skip" not in kinds(worklist)


def test_a_late_image_lets_both_start_again(worklist: Worklist, router: Router) -> None:
    quality_control(worklist, router, {"inverted": P, "rotated-90": A})
    late = received(2, at=after(70), attributes={"Modality": "DX"})
    worklist.intake.record(late)
    worklist.studies.complete(current(worklist), after(70))
    router.run_once()
    (job,) = worklist.jobs.claim("w", ["cxr-qc"], after(71), 60)
    found = {"inverted": A, "rotated-90": A}
    worklist.jobs.finish(job, Outcome.ANALYSED, "", [], after(72), found)
    router.run_once()
    (job,) = worklist.jobs.claim("w", ["classify"], after(73), 60)
    assert job.revision == 2
