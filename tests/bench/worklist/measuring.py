"""`python -m tests.bench worklist`: what runs all day, on worklists of growing size.

Each operation is measured on every size; it must stay flat or grow with the logarithm.
The disk counts where something is written; the rest is reading. With ``--plans`` the
indexes that SQLite uses are shown for each (EXPLAIN QUERY PLAN); a statement that reads
a table from end to end has a ``!`` before it.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from itertools import count
from pathlib import Path

from dicomnode.cli.embedded import EmbeddedViews
from dicomnode.domain.instance import (
    Identity,
    InstanceKey,
    ReceivedInstance,
    StoredInstance,
)
from dicomnode.domain.job import job_id_of
from dicomnode.worklist import Worklist, open_worklist
from tests.bench.worklist import plans
from tests.bench.worklist.filling import (
    CT,
    DESTINATION,
    EXPLICIT,
    NOON,
    PIPELINE,
    Size,
    arrived_at,
    fill,
    study_uid,
)

SIZES = (Size(1_000, 10_000), Size(10_000, 100_000), Size(100_000, 1_000_000))
SMALLER = (Size(300, 3_000), Size(3_000, 30_000))
CONFIG = """
[node]
data_dir = "."

[store]
watermark_percent = 100

[receiver]
host = "127.0.0.1"
port = 0
"""


@dataclass(frozen=True, slots=True)
class Subject:
    """A filled worklist, and the number of a study that nobody has yet."""

    worklist: Worklist
    embedded: EmbeddedViews
    size: Size
    folder: Path
    fresh: Iterator[int]

    @property
    def middle(self) -> str:
        """A study from the middle of the years."""
        return study_uid(self.size.n_studies // 2)

    def later(self) -> datetime:
        """After all of them."""
        return arrived_at(self.size.n_studies) + timedelta(hours=1)


def instance_of(study: str, number: int, at: datetime) -> ReceivedInstance:
    """The ``number``-th instance of a study."""
    sop = f"{study}.2.{number}"
    return ReceivedInstance(
        key=InstanceKey(study, f"{study}.2", sop, CT, EXPLICIT),
        stored=StoredInstance(f"00/{study}/{sop}.000000000000.dcm", 524_288, "0" * 64),
        received_at=at,
        calling_ae_title="CT1",
        called_ae_title="DICOMNODE",
        address="127.0.0.1",
        attributes={"Modality": "CT", "AccessionNumber": "A"},
        identity=Identity("BENCH", "PHANTOM^BENCH"),
    )


def _record_in_new_study(subject: Subject) -> None:
    uid = study_uid(next(subject.fresh))
    subject.worklist.intake.record(instance_of(uid, 1, subject.later()))


def _record_in_open_study(subject: Subject) -> None:
    uid = study_uid(subject.size.n_studies - 1)
    one = instance_of(uid, next(subject.fresh), subject.later())
    subject.worklist.intake.record(one)


def _claim_and_postpone(subject: Subject) -> None:
    jobs = subject.worklist.jobs
    [claimed] = jobs.claim("w1", [PIPELINE], subject.later(), 60)
    jobs.fail(claimed, "bench", subject.later(), subject.later())


OPERATIONS: dict[str, Callable[[Subject], object]] = {
    "record, new study": _record_in_new_study,
    "record, open study": _record_in_open_study,
    "completion scan": lambda s: s.worklist.studies.receiving(),
    "routing scan": lambda s: s.worklist.studies.unrouted(),
    "follow scan": lambda s: s.worklist.studies.unfollowed(256),
    "claim and postpone": _claim_and_postpone,
    "deliveries due": lambda s: s.worklist.outbox.due(DESTINATION, s.later(), 60, 9),
    "lost leases": lambda s: s.worklist.upkeep.reap(s.later(), 3),
    "instances of a study": lambda s: s.worklist.studies.instances(s.middle),
    "newest 50": lambda s: s.worklist.views.worklist(limit=50),
    "newest 50 of an AE": lambda s: s.worklist.views.worklist(ae="CT1", limit=50),
    "newest 50 COMPLETED": lambda s: s.worklist.views.worklist(
        state="COMPLETED", limit=50
    ),
    "newest 50 ROUTED": lambda s: s.worklist.views.worklist(state="ROUTED", limit=50),
    "newest 5 FAILED": lambda s: s.worklist.views.worklist(state="FAILED", limit=5),
    "all RECEIVING": lambda s: s.worklist.views.worklist(state="RECEIVING"),
    "one study": lambda s: s.worklist.views._run(
        "SELECT * FROM v1_worklist WHERE study_instance_uid = :uid", {"uid": s.middle}
    ),
    "one job": lambda s: s.worklist.views.job(job_id_of(s.middle, 1, PIPELINE)),
    "events, last 50": lambda s: s.worklist.views.events(
        s.worklist.views.last_seq() - 50
    ),
    "deliveries of a job": lambda s: s.worklist.views.deliveries(
        job_id_of(s.middle, 1, PIPELINE)
    ),
    "deliveries PENDING": lambda s: s.worklist.views.deliveries(state="PENDING"),
    "refused associations": lambda s: s.worklist.views.associations(5, True),
    "counts by state": lambda s: s.worklist.views.counts(),
    "counts, embedded": lambda s: s.embedded.counts(),
    "expired studies": lambda s: s.worklist.upkeep.ended(NOON, 100),
}


@contextmanager
def filled(folder: Path, size: Size) -> Iterator[Subject]:
    """A worklist of that size in ``folder``."""
    folder.mkdir(parents=True)
    path = folder / "worklist.db"
    url = f"sqlite:///{path}"
    fill(url, size)
    embedded = EmbeddedViews(path)
    with open_worklist(url) as worklist:
        fresh = count(10 * size.n_studies)
        yield Subject(worklist, embedded, size, folder, fresh)
    embedded.close()


def milliseconds(operation: Callable[[Subject], object], subject: Subject, n: int):
    """Median of ``n`` runs after one to warm up."""
    operation(subject)
    taken = []
    for _ in range(n):
        began = time.perf_counter()
        operation(subject)
        taken.append(time.perf_counter() - began)
    return 1000 * statistics.median(taken)


def restart_seconds(folder: Path) -> float:
    """From the start of `dicomnode receive` to its word that it is ready."""
    config = folder / "config.toml"
    config.write_text(CONFIG)
    argv = [sys.executable, "-m", "dicomnode", "receive", "--config", str(config)]
    began = time.perf_counter()
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        for line in process.stdout:
            if json.loads(line)["event"] == "receiver.ready":
                break
        took = time.perf_counter() - began
        process.terminate()
        process.communicate()
    return took


def figures(folder: Path, size: Size, repeat: int) -> dict[str, float]:
    """Milliseconds of each operation, and the seconds of a restart."""
    with filled(folder, size) as subject:
        found = {
            name: milliseconds(operation, subject, repeat)
            for name, operation in OPERATIONS.items()
        }
    found["restart to receiving, s"] = restart_seconds(folder)
    found["database, MB"] = os.path.getsize(folder / "worklist.db") / 1e6
    return found


def plans_of(folder: Path, size: Size) -> str:
    """The plan of each operation on a worklist that is filled already."""
    database = folder / "worklist.db"
    embedded = EmbeddedViews(database)
    with plans.traced() as found, open_worklist(f"sqlite:///{database}") as worklist:
        embedded._connection.set_trace_callback(found.append)
        fresh = count(20 * size.n_studies)
        subject = Subject(worklist, embedded, size, folder, fresh)
        texts = [
            plans.told(name, partial(operation, subject), found, database)
            for name, operation in OPERATIONS.items()
        ]
    embedded.close()
    return "\n\n".join(texts)


def table(columns: Mapping[Size, Mapping[str, float]]) -> str:
    """One row for each operation, one column for each size, and the growth."""
    sizes = list(columns)
    heads = [f"{one.n_studies} / {one.n_instances}" for one in sizes]
    lines = [
        "  ".join([f"{'ms; studies / instances':<24}", *(f"{h:>18}" for h in heads)])
    ]
    for name in columns[sizes[0]]:
        values = [columns[one][name] for one in sizes]
        growth = values[-1] / values[0] if values[0] else 0.0
        cells = "  ".join(f"{value:>18.2f}" for value in values)
        lines.append(f"{name:<24}  {cells}  x {growth:.1f}")
    return "\n".join(lines)


def main(words: Sequence[str]) -> int:
    """Measure what the command line asks for."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench worklist", description=__doc__
    )
    parser.add_argument("--full", action="store_true", help="up to 1,000,000 instances")
    parser.add_argument("--plans", action="store_true", help="EXPLAIN QUERY PLAN too")
    parser.add_argument("--repeat", type=int, default=20)
    parser.add_argument("--folder", type=Path, help="on the disk to measure")
    parser.add_argument("--out", type=Path, help="JSON file for every figure")
    given = parser.parse_args(words)
    found: dict[Size, dict[str, float]] = {}
    explained = ""
    with tempfile.TemporaryDirectory(prefix="bench-", dir=given.folder) as name:
        for size in SIZES if given.full else SMALLER:
            folder = Path(name) / str(size.n_studies)
            found[size] = figures(folder, size, given.repeat)
            explained = plans_of(folder, size) if given.plans else ""
    print(table(found))
    if explained:
        print(f"\n== plans, {size.n_studies} studies\n{explained}")
    if given.out:
        rows = [{"studies": s.n_studies, "figures": f} for s, f in found.items()]
        given.out.write_text(json.dumps({"bench": "worklist", "sizes": rows}) + "\n")
    return 0
