"""What the cases work with: the node under test, scanner, PACS and worklist."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from dicomnode.acceptance.pacs import FaultyPacs
from dicomnode.acceptance.phantoms import Phantoms, Study
from dicomnode.acceptance.wire import Address
from dicomnode.config import Config
from dicomnode.delivery.storage_scu import Peer, StorageScu
from dicomnode.demo.live import is_settled
from dicomnode.demo.program import wait_until
from dicomnode.domain.delivery import Sent
from dicomnode.errors import DicomNodeError
from dicomnode.views import Views

Row = dict[str, Any]


class WaitedInVainError(DicomNodeError):
    """The node did not do something in time; the message says what."""


class _Clock:
    def now(self) -> datetime:
        return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class Bench:
    """``views`` is None where only the network of the node can be reached.

    ``check`` raises when waiting has become pointless. ``sent`` are the studies that
    the node has been sent, to be purged at the end.
    """

    config: Config
    address: Address
    folder: Path
    phantoms: Phantoms
    pacs: FaultyPacs
    views: Views | None
    check: Callable[[], None]
    patience_seconds: float
    sent: list[str] = field(default_factory=list)

    @property
    def worklist(self) -> Views:
        """The views; a case that needs them is not run without."""
        if self.views is None:
            raise WaitedInVainError("no worklist is at hand; run on the node's machine")
        return self.views

    def scanner(self, port: int = 0) -> StorageScu:
        """The fake scanner, towards the node or towards another port beside it."""
        one = self.address
        peer = Peer(one.called, one.host, port or one.port, one.calling)
        return StorageScu(peer, _Clock())

    def send(self, study: Study) -> tuple[Sent, ...]:
        """C-STORE all of a study."""
        self.note(study)
        return tuple(self.scanner().send(study.instances))

    def note(self, study: Study) -> None:
        """The node may have this study from now on."""
        if study.uid not in self.sent:
            self.sent.append(study.uid)

    def wait(self, done: Callable[[], bool], deed: str) -> None:
        """Wait until ``done``; raises WaitedInVainError."""
        if not wait_until(done, self.check, self.patience_seconds):
            seconds = f"{self.patience_seconds:.0f} s"
            raise WaitedInVainError(f"the node did not {deed} within {seconds}")

    def row(self, study: Study) -> Row:
        """The newest row of a study in v1_worklist; empty if there is none."""
        rows = [
            one
            for one in self.worklist.worklist()
            if one["study_instance_uid"] == study.uid
        ]
        return max(rows, key=lambda one: int(one["revision"]), default={})

    def deliveries(self, study: Study) -> Sequence[Row]:
        """The rows of a study in v1_deliveries; empty before it has a job."""
        job = self.row(study).get("job_id")
        return self.worklist.deliveries(job) if job else ()

    def settled(self, study: Study) -> Row:
        """Wait until nothing more happens to a study by itself; its row."""

        def done() -> bool:
            row = self.row(study)
            if row.get("study_state") not in ("ROUTED", "NOT_ROUTED"):
                return False
            return is_settled(row, self.worklist.deliveries())

        self.wait(done, "finish the study")
        return self.row(study)
