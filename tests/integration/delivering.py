"""The delivery of real results on real associations, with a clock that tests move."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path

from dicomnode.delivery.commitment_scu import CommitmentScu
from dicomnode.delivery.confirmation import Confirmer, ConfirmPolicy
from dicomnode.delivery.outbox import Courier, RetryPolicy
from dicomnode.delivery.storage_scu import StorageScu
from dicomnode.domain.delivery import NewResult
from dicomnode.domain.instance import InstanceKey
from dicomnode.domain.job import Job, Outcome
from dicomnode.receiver.peers import Peer
from dicomnode.receiver.scp import Commitment, StorageSCP
from dicomnode.results import BuiltResult, build, encode_data_set
from dicomnode.store import LocalStore
from dicomnode.worklist import Worklist, open_worklist, upgrade
from tests.contract.worklist.making import claimed
from tests.integration.fake_pacs import AE_TITLE, HANG_SECONDS, FakePacs
from tests.integration.receiving import MODALITY, settings
from tests.unit.results import cases


@cache
def results(
    kinds: tuple[str, ...], profile: str, findings: str
) -> tuple[BuiltResult, ...]:
    """Built once: drawing a capture takes a second."""
    return build(cases.context(profile=profile), getattr(cases, findings)(), kinds)


NOON = datetime(2026, 3, 29, 12, tzinfo=UTC)
DELAYS = (10, 60, 300)
OVERDUE_SECONDS = 600


class MovedClock:
    """Stands still until it is moved."""

    def __init__(self) -> None:
        self.at = NOON

    def now(self) -> datetime:
        return self.at

    def move(self, seconds: float) -> None:
        self.at += timedelta(seconds=seconds)


@dataclass
class Desk:
    """A worklist with its results store, and all that delivers from it."""

    worklist: Worklist
    results: LocalStore
    clock: MovedClock

    def finished(
        self,
        kinds: Sequence[str] = ("sr",),
        profile: str = "comprehensive",
        findings: str = "negative",
        destinations: tuple[str, ...] = ("PACS",),
    ) -> Job:
        """A finished job whose results wait for their destinations."""
        built = results(tuple(kinds), profile, findings)
        job = claimed(self.worklist, study=cases.STUDY, at=self.clock.at)
        kept = [self._keep(one, destinations) for one in built]
        self.worklist.jobs.finish(job, Outcome.ANALYSED, "", kept, self.clock.at)
        return job

    def courier(
        self, pacs: FakePacs, name: str = "PACS", timeout_seconds: float = HANG_SECONDS
    ) -> Courier:
        return Courier(
            name,
            self.worklist.outbox,
            self.results,
            StorageScu(pacs.peer(timeout_seconds), self.clock),
            self.clock,
            RetryPolicy(DELAYS, confirm=True),
        )

    def confirmer(
        self,
        pacs: FakePacs,
        required: bool = False,
        linger_seconds: float = HANG_SECONDS,
    ) -> Confirmer:
        return Confirmer(
            "PACS",
            self.worklist.commitments,
            self.worklist.absences,
            CommitmentScu(
                pacs.peer(),
                lambda answer: self.worklist.commitments.answer(
                    answer, self.clock.now()
                ),
                linger_seconds,
            ),
            self.clock,
            ConfirmPolicy(DELAYS, required=required, timeout_seconds=OVERDUE_SECONDS),
        )

    def rows(self) -> dict[str, dict[str, object]]:
        """``v1_deliveries`` by result kind, one destination."""
        return {one["result_kind"]: one for one in self.worklist.views.deliveries()}

    def states(self) -> dict[str, object]:
        return {kind: row["state"] for kind, row in self.rows().items()}

    def events(self) -> list[str]:
        return [one["kind"] for one in self.worklist.views.events()]

    def row(self) -> dict[str, object]:
        """The one delivery there is."""
        (found,) = self.worklist.views.deliveries()
        return found

    def _keep(self, one: BuiltResult, destinations: tuple[str, ...]) -> NewResult:
        key = InstanceKey(
            cases.STUDY,
            one.series_instance_uid,
            one.sop_instance_uid,
            one.sop_class_uid,
            "1.2.840.10008.1.2.1",
        )
        stored = self.results.put(key, [encode_data_set(one.dataset)])
        return NewResult(
            one.kind,
            one.sop_class_uid,
            one.sop_instance_uid,
            one.series_instance_uid,
            stored.location,
            stored.sha256,
            destinations,
        )


@contextmanager
def delivering(folder: Path) -> Iterator[Desk]:
    """A desk with nothing on it."""
    url = f"sqlite:///{folder / 'worklist.db'}"
    upgrade(url)
    with open_worklist(url) as worklist:
        yield Desk(worklist, LocalStore(folder / "results", 99), MovedClock())


@contextmanager
def our_receiver(
    desk: Desk, folder: Path, peers: Sequence[Peer] = (MODALITY,), offers: bool = True
) -> Iterator[StorageSCP]:
    """The node's receiver, to which destinations report and modalities turn."""
    destination = Peer(AE_TITLE, ("127.0.0.1",), reports_only=True)
    how = replace(settings(), peers=(*peers, destination), offers_commitment=offers)
    intake = desk.worklist.intake
    scp = StorageSCP(
        how,
        LocalStore(folder / "instances", 99),
        intake,
        desk.clock,
        commitment=Commitment(intake, desk.worklist.commitments),
    )
    scp.start()
    try:
        yield scp
    finally:
        scp.stop(10)
