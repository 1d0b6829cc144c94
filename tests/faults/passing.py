"""A study on its way to its job: what the keeper does, for `everycall`."""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path

from dicomnode.processes.clock import SystemClock
from dicomnode.receiver.handlers import StoreHandler, StoreRequest
from tests.faults.chain import Chain, radiograph, until
from tests.faults.modality import AE_TITLE, Sample
from tests.integration.rig import data_set

DX = "1.2.840.10008.5.1.4.1.1.1.1"
EXPLICIT = "1.2.840.10008.1.2.1"
_ONCE = ("study complete", "study route", "job schedule")


class Intake:
    """Studies of one radiograph, kept as the receiver keeps them."""

    def __init__(self, chain: Chain, folder: Path, rng: random.Random) -> None:
        self._folder, self._rng = folder, rng
        clock, intake = SystemClock(), chain.worklist.intake
        self._store = StoreHandler(chain.instances, intake, clock)

    def take(self) -> Sample:
        """One more."""
        one = radiograph(self._folder, self._rng)
        request = StoreRequest(
            *(data_set(one.path), DX, one.sop_instance_uid, EXPLICIT),
            *(AE_TITLE, "DICOMNODE", "127.0.0.1"),
        )
        assert self._store(request).status == 0
        return one


class Passing:
    """One study that goes quiet, from receiving to its job (`Studies.pass_on`)."""

    role = "keep"

    def __init__(self, chain: Chain, folder: Path, rng: random.Random) -> None:
        self._chain, self._intake = chain, Intake(chain, folder, rng)
        self._study = ""
        self.acknowledged = 0

    def act(self) -> None:
        self._study = self._intake.take().study_instance_uid
        role = self._chain.roles[self.role]
        until(lambda: self._is_passed() or not role.is_running, "the routing")
        self.acknowledged += self._is_passed()

    def settle(self) -> None:
        until(self._passed_well, "the routing")

    def wrong(self) -> list[str]:
        said = Counter(
            one["kind"]
            for one in self._chain.worklist.views.events(limit=100_000)
            if one["study_instance_uid"] == self._study
        )
        wrong = {name: said[name] for name in _ONCE if said[name] != 1}
        jobs = [row["job_state"] for row in self._rows()]
        if jobs != ["SCHEDULED"]:
            wrong["jobs"] = jobs
        return [f"{name}: {found}" for name, found in wrong.items()]

    def _rows(self) -> list[dict[str, object]]:
        return self._chain.rows({self._study})

    def _is_passed(self) -> bool:
        return any(row["job_state"] for row in self._rows())

    def _passed_well(self) -> bool:
        self._chain.revive(self.role)
        return self._is_passed()
