"""A PACS that is down for a day: `python -m tests.faults.day [--reports N] [--spread]`.

Reports wait in a real worklist and a real results store while the destination's port
refuses every connection. The clock is moved through the day; then a real SCP comes up.
Prints its figures as JSON; ends with 1 when a report is lost, doubled or out of order,
or when the destination was called more than once in a wave.

``--spread``: the reports are finished through the day instead of at its beginning.
"""

from __future__ import annotations

import argparse
import json
import socket
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory

from pydicom.uid import ExplicitVRLittleEndian
from pynetdicom.events import Event

from dicomnode.config.models import Delivery
from dicomnode.delivery.associating import Peer
from dicomnode.delivery.outbox import Courier, RetryPolicy
from dicomnode.delivery.storage_scu import StorageScu
from dicomnode.domain.delivery import NewResult, Outgoing, Sent
from dicomnode.domain.instance import InstanceKey
from dicomnode.errors import Unreachable
from dicomnode.results import encode_data_set
from tests.contract.worklist.making import finished
from tests.faults.everycall import be_quiet
from tests.integration.delivering import Desk, delivering, results
from tests.integration.fake_pacs import AE_TITLE, FakePacs

DAY_SECONDS = 24 * 3600
STEP_SECONDS = 60
POLICY = RetryPolicy(Delivery().retry_seconds)
"""What a node has that configures nothing."""


@dataclass(frozen=True)
class Figures:
    """What a day without the PACS, and the hours after it, came to.

    ``waves``: moments of the day at which the destination was called, and
    ``most_calls_in_a_wave``: at one of them. ``gaps``: seconds between the waves.
    """

    reports: int
    waiting_after_the_day: int
    calls_while_down: int
    waves: int
    most_calls_in_a_wave: int
    gaps: list[float]
    hours_until_all_are_there: float
    sendings: int
    delivered: int
    unique_uids: int
    order_kept: bool
    most_instances_in_an_association: int
    most_associations_at_once: int

    @property
    def nothing_lost_or_doubled(self) -> bool:
        """Whether the PACS has each report, was sent it once, and we know it."""
        n = self.reports
        waited = self.waiting_after_the_day == n
        return waited and self.delivered == self.unique_uids == self.sendings == n

    @property
    def no_stampede(self) -> bool:
        """Whether one call is a wave, and batches go one after the other after it."""
        return (
            self.most_calls_in_a_wave == 1
            and self.most_associations_at_once == 1
            and self.most_instances_in_an_association <= POLICY.batch
        )


@dataclass
class CountingSender:
    """The real sender, with notes of when it was called and with how much."""

    scu: StorageScu
    desk: Desk
    refused: dict[datetime, int] = field(default_factory=dict)
    most_instances: int = 0
    running: int = 0
    most_running: int = 0

    def send(self, instances: Sequence[Outgoing]) -> Sequence[Sent]:
        now = self.desk.clock.now()
        self.running += 1
        self.most_running = max(self.most_running, self.running)
        self.most_instances = max(self.most_instances, len(instances))
        try:
            return self.scu.send(instances)
        except Unreachable:
            self.refused[now] = self.refused.get(now, 0) + 1
            raise
        finally:
            self.running -= 1


def measure(folder: Path, n_reports: int, *, spread: bool = False) -> Figures:
    """Finish the reports, live through the day, bring up the PACS and deliver."""
    with delivering(folder) as desk, refusing_port() as port:
        down = Peer(AE_TITLE, "127.0.0.1", port, "DICOMNODE")
        sender = CountingSender(StorageScu(down, desk.clock), desk)
        courier = Courier(
            AE_TITLE,
            desk.worklist.outbox,
            desk.results,
            sender,
            desk.clock,
            POLICY,
        )
        uids = live_through(desk, courier, n_reports, spread=spread)
        waiting = n_in_state(desk, "PENDING")
        arrived, hours = bring_up(desk, courier, sender)
        return Figures(
            reports=n_reports,
            waiting_after_the_day=waiting,
            calls_while_down=sum(sender.refused.values()),
            waves=len(sender.refused),
            most_calls_in_a_wave=max(sender.refused.values()),
            gaps=[(b - a).total_seconds() for a, b in pairwise(sender.refused)],
            hours_until_all_are_there=hours,
            sendings=len(arrived),
            delivered=n_in_state(desk, "SENT"),
            unique_uids=len(set(arrived) & set(uids)),
            order_kept=arrived == uids,
            most_instances_in_an_association=sender.most_instances,
            most_associations_at_once=sender.most_running,
        )


@contextmanager
def refusing_port() -> Iterator[int]:
    """A port that is ours, so that nobody else answers, and that refuses everyone."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield bound.getsockname()[1]


def live_through(
    desk: Desk, courier: Courier, n_reports: int, *, spread: bool
) -> list[str]:
    """Finish the reports and try to deliver for a day; their UIDs, oldest first."""
    n_steps = DAY_SECONDS // STEP_SECONDS
    uids: list[str] = []
    for step in range(n_steps):
        wanted = n_reports * (step + 1) // n_steps if spread else n_reports
        while len(uids) < wanted:
            uids.append(finish_report(desk, len(uids)))
        work_off(courier)
        desk.clock.move(STEP_SECONDS)
    return uids


def finish_report(desk: Desk, number: int) -> str:
    """The UID of a report that waits for the PACS: a job of a study of its own."""
    built, *_ = results(("sr",), "comprehensive", "negative")
    study = f"2.25.43{number:06}"
    dataset = deepcopy(built.dataset)
    dataset.StudyInstanceUID = study
    dataset.SeriesInstanceUID = f"{study}.9"
    dataset.SOPInstanceUID = uid = f"{study}.9.1"
    key = InstanceKey(
        study, f"{study}.9", uid, built.sop_class_uid, ExplicitVRLittleEndian
    )
    kept = desk.results.put(key, [encode_data_set(dataset)])
    result = NewResult(
        built.kind,
        built.sop_class_uid,
        uid,
        f"{study}.9",
        kept.location,
        kept.sha256,
        (AE_TITLE,),
    )
    finished(desk.worklist, result, study=study, at=desk.clock.now())
    return uid


def work_off(courier: Courier) -> None:
    """Like the deliverer: until nothing is due."""
    while courier.run_once():
        pass


def bring_up(
    desk: Desk, courier: Courier, sender: CountingSender
) -> tuple[list[str], float]:
    """Deliver to a PACS that is back; the UIDs as they came, and the hours it took."""
    arrived: list[str] = []

    def keep_order(event: Event) -> int:
        arrived.append(str(event.request.AffectedSOPInstanceUID))
        return 0x0000

    back_at = last_at = desk.clock.now()
    longest = timedelta(seconds=max(POLICY.retry_seconds))
    pacs = FakePacs(on_store=keep_order)
    with pacs.running():
        sender.scu = StorageScu(pacs.peer(), desk.clock)
        while desk.clock.now() <= back_at + longest:
            before = len(arrived)
            work_off(courier)
            if len(arrived) > before:
                last_at = desk.clock.now()
            desk.clock.move(STEP_SECONDS)
    return arrived, (last_at - back_at).total_seconds() / 3600


def n_in_state(desk: Desk, state: str) -> int:
    """How many deliveries are in this state."""
    return desk.worklist.views.counts()["delivery"].get(state, 0)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.faults.day")
    parser.add_argument("--reports", type=int, default=200)
    parser.add_argument("--spread", action="store_true")
    given = parser.parse_args()
    be_quiet()
    with TemporaryDirectory(prefix="day-") as name:
        figures = measure(Path(name), given.reports, spread=given.spread)
    print(json.dumps(asdict(figures)))
    well = figures.nothing_lost_or_doubled and figures.no_stampede
    return 0 if well and figures.order_kept else 1


if __name__ == "__main__":
    sys.exit(main())
