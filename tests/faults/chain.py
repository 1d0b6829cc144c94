"""A node whose roles may be killed, a PACS behind it, and what must hold in the end."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from functools import partial
from hashlib import sha256
from pathlib import Path
from time import monotonic
from typing import Any

from pydicom import dcmread

from dicomnode.demo.phantoms import Exposure, Order, digital_radiograph
from dicomnode.demo.program import Program, free_port, wait_until
from dicomnode.housekeeping.chores import Chores
from dicomnode.housekeeping.reconciling import ReconcilePolicy, Reconciler
from dicomnode.ports import Stock
from dicomnode.processes.clock import SystemClock
from dicomnode.processes.reconcile import Header
from dicomnode.store import Inspection, LocalStore
from dicomnode.worklist import open_worklist, upgrade
from model.phantom import chest
from tests.faults.modality import Sample, saved
from tests.faults.roles import HANG_SECONDS, Role
from tests.integration.rig import CONFIG, data_set

READY = {
    "receive": "receiver.ready",
    "keep": "role.started",
    "work": "worker.ready",
    "deliver": "role.started",
}
"""What a role says when it has begun its work."""
SIDE = 256
_OFTEN = 1000
"""More attempts than kills: that a job fails after too many is not tested here."""


class LaterClock:
    """Tomorrow: what died in mid-write is old by then."""

    def now(self) -> datetime:
        return datetime.now(UTC) + timedelta(days=2)


class Chain:
    """The folder, the database and the roles of one node.

    The database is SQLite in the folder, unless ``url`` names another one.
    """

    def __init__(
        self,
        folder: Path,
        pacs_port: int,
        roles: Iterable[str] = READY,
        url: str = "",
    ) -> None:
        self.folder = folder
        self.port = free_port()
        folder.mkdir(exist_ok=True)
        (folder / "tmp").mkdir()
        config = folder / "config.toml"
        config.write_text(_config(self.port, pacs_port, url))
        self.url = url or f"sqlite:///{folder / 'var' / 'worklist.db'}"
        (folder / "var").mkdir()
        upgrade(self.url)
        self.worklist = open_worklist(self.url)
        self.reconciled = 0
        """How many files without a row reconcile has put right."""
        self.instances = LocalStore(folder / "var" / "instances", 100)
        self.results = LocalStore(folder / "var" / "results", 100)
        self.roles = {
            name: Role(name, config, folder / f"{name}.log") for name in roles
        }

    def revive(self, name: str) -> float:
        """Start a role unless it runs; the seconds until it is ready."""
        role = self.roles[name]
        if role.is_running:
            return 0.0
        began = monotonic()
        role.start()
        if name == "receive":
            role.listening(self.port)
        else:
            role.ready(READY[name])
        return monotonic() - began

    def close(self) -> None:
        """End every role."""
        for role in self.roles.values():
            role.kill()
        self.worklist.close()

    def settled(self, study_instance_uids: set[str]) -> bool:
        """Whether these studies are done with: no job and no delivery waits."""
        rows = self.rows(study_instance_uids)
        if {row["study_instance_uid"] for row in rows} != study_instance_uids:
            return False
        if any(row["study_state"] in ("RECEIVING", "COMPLETE") for row in rows):
            return False
        if any(row["job_state"] in ("SCHEDULED", "IN_PROGRESS") for row in rows):
            return False
        return not any(one["state"] == "PENDING" for one in self.deliveries(rows))

    def rows(self, study_instance_uids: set[str]) -> list[dict[str, object]]:
        """Their rows of v1_worklist."""
        every = self.worklist.views.worklist()
        return [
            one for one in every if one["study_instance_uid"] in study_instance_uids
        ]

    def deliveries(self, rows: Iterable[dict[str, object]]) -> list[dict[str, object]]:
        """The rows of v1_deliveries of these rows of v1_worklist."""
        jobs = {row["job_id"] for row in rows}
        return [
            one for one in self.worklist.views.deliveries() if one["job_id"] in jobs
        ]

    def lost(self, acknowledged: Iterable[Sample]) -> list[str]:
        """Instances (I1) that have no row, or not the file that was sent."""
        lost = []
        for one in acknowledged:
            rows = self.worklist.studies.instances(one.study_instance_uid)
            kept = [row for row in rows if row.sop_instance_uid == one.sop_instance_uid]
            if [self._kept(row.location) for row in kept] != [one.sha256]:
                lost.append(f"lost: {one.sop_instance_uid}")
        return lost

    def _kept(self, location: str) -> str | None:
        """sha256 of the data set at ``location``; None if there is none."""
        return _content(self.instances._root / location)

    def left_over(self) -> list[str]:
        """Files (I2, I5) without a row, or unfinished, or in the temporary folder.

        A receiver that is killed between file and row leaves a file that nobody was
        told of; a worker, a result that is made again. Both are what the node's own
        reconcile is for, so what it puts right is not left over.
        """
        self._tidy()
        found = self._without_row()
        if found:
            self._reconcile()
            found = self._without_row()
        temporary = {path.name for path in (self.folder / "tmp").iterdir()}
        # The empty cache of torch's compiler is not ours.
        ours = {one for one in temporary if not one.startswith("torchinductor")}
        return found + [f"left over: {name}" for name in ours]

    def _without_row(self) -> list[str]:
        found = []
        for name, store in (("instances", self.instances), ("results", self.results)):
            locations = self._locations(store)
            known = self.worklist.upkeep.known_locations(locations)
            found += [f"left over: {name}/{one}" for one in locations - known]
        return found

    def _locations(self, store: Any) -> set[str]:
        """Of everything that lies in a store, whatever its name."""
        files = [path for path in store._files() if path.is_file()]
        return {path.relative_to(store._root).as_posix() for path in files}

    def _stocks(self) -> tuple[Stock, Stock]:
        var = self.folder / "var"
        return Inspection(var / "instances"), Inspection(var / "results")

    def _reconcile(self) -> None:
        """The node's own, as it will be when the files are old enough."""
        reconciler = Reconciler(
            self.worklist.ledger,
            self.worklist.mender,
            *self._stocks(),
            Header(()),
            LaterClock(),
        )
        policy = ReconcilePolicy(max_attempts=_OFTEN, repair=True)
        self.reconciled += reconciler.run(policy, lambda *_: None).n_repaired

    def _tidy(self) -> None:
        """The node's own sweep, as it will be when the leftovers are old enough."""
        upkeep, clock = self.worklist.upkeep, LaterClock()
        stores = (self.instances, self.results)
        Chores(upkeep, *stores, clock, max_attempts=_OFTEN).sweep()

    def not_once(self, study_instance_uids: set[str]) -> list[str]:
        """Studies (I3, I4) that are not analysed once, and each result once."""
        rows = self.rows(study_instance_uids)
        wrong = []
        for uid in study_instance_uids:
            mine = [row for row in rows if row["study_instance_uid"] == uid]
            ends = [(row["job_state"], row["outcome"]) for row in mine]
            due = self.deliveries(mine)
            kinds = Counter(str(one["result_kind"]) for one in due)
            states = {str(one["state"]) for one in due}
            if ends != [("COMPLETED", "ANALYSED")]:
                wrong.append(f"not analysed once: {uid} {ends}")
            if kinds["sr"] != 1 or set(kinds.values()) != {1}:
                wrong.append(f"doubled: {uid} {dict(kinds)}")
            if not states <= {"SENT", "COMMITTED"}:
                wrong.append(f"not delivered: {uid} {states}")
        return wrong

    def reap(self) -> None:
        """Give back the jobs of dead workers, as the keeper does."""
        self.worklist.upkeep.reap(SystemClock().now(), _OFTEN)


class StoreScp:
    """DCMTK's storescp: a PACS that keeps each object in a file named by its UID.

    A process for each association: a sender that stands still, or is cut off, keeps
    its own open and must not keep the others out, as it would at no real PACS.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "pacs"
        self.folder.mkdir()
        self.port = free_port()
        argv = ["storescp", "-aet", "ORTHANC", "--unique-filenames", "--fork"]
        argv += ["--dimse-timeout", "120"]
        argv += ["-od", str(self.folder), str(self.port)]
        self._program = Program("storescp", argv, folder / "storescp.log")

    def __enter__(self) -> StoreScp:
        self._program.__enter__()
        return self

    def __exit__(self, *_error: object) -> None:
        self._program.__exit__(None, None, None)

    def contents(self) -> list[str]:
        """sha256 of each data set it has taken, as often as it came."""
        return [_content(path) or "" for path in self.folder.iterdir()]

    def uids(self) -> list[str]:
        """SOP Instance UID of each object it has taken, as often as it came."""
        read = partial(dcmread, specific_tags=["SOPInstanceUID"])
        return [str(read(path).SOPInstanceUID) for path in self.folder.iterdir()]


def radiograph(folder: Path, rng: random.Random) -> Sample:
    """A chest phantom that the shipped bundle analyses, a study of its own."""
    order = Order(rng.randrange(10**9), "PHANTOM^CRASH", "O", datetime.now(UTC))
    pixels = chest(rng.randrange(8), view="PA", rows=SIDE, columns=SIDE)
    ds = digital_radiograph(order, Exposure(pixels))
    return saved(ds, folder / f"{ds.SOPInstanceUID}.dcm")


def until(ready: object, what: str) -> None:
    """Wait for something that must come; raises TimeoutError."""
    if not wait_until(ready, lambda: None, HANG_SECONDS):  # type: ignore[arg-type]
        raise TimeoutError(f"waited in vain for {what}")


def _config(port: int, pacs_port: int, url: str) -> str:
    text = CONFIG.format(port=port, pacs_port=pacs_port, quiet_seconds=0.5)
    text += f'\n[database]\nurl = "{url}"\n' if url else ""
    text = text.replace("max_attempts = 10", f"max_attempts = {_OFTEN}")
    text = text.replace("timeout_seconds = 10", "timeout_seconds = 2")
    again = ", ".join(["0.2"] * 50)
    return text.replace("[1, 1, 1]", f"[{again}]").replace(
        "[1, 1, 1, 1, 1]", f"[{again}]"
    )


def _content(path: Path) -> str | None:
    try:
        return sha256(data_set(path)).hexdigest()
    except (OSError, IndexError):
        return None
