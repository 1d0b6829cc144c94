"""`python -m tests.bench throughput`: studies each second by 1, 2 and 4 real workers.

Each worker is a process of its own with the shipped bundle on the processor, as
`dicomnode work` starts it: decode, predict, heat map, report, results kept. They are
ready before the clock runs. That work needs the processor, so beyond as many workers as
there are cores nothing is gained: each row tells how many cores the workers kept busy.

Before these, the same number of workers with an analysis that only waits, as for a GPU,
and needs no processor: whether the queue lets throughput grow with workers. Each works
on four jobs at a time, as a worker does, so that is what it can do at most.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic, sleep

from pydicom.uid import ExplicitVRLittleEndian

from dicomnode.demo.phantoms import Exposure, Order, digital_radiograph
from dicomnode.domain.desk import Pause, Service
from dicomnode.domain.instance import InstanceKey, ReceivedInstance
from dicomnode.domain.job import NewJob, job_id_of
from dicomnode.results import encode_data_set
from model.phantom import chest
from tests.bench.claims import waiting
from tests.bench.servers import KINDS, OPENED
from tests.faults.chain import READY, Chain
from tests.faults.roles import Role, fork_server

WORKERS = (1, 2, 4)
SIDE = 1024
_KEYWORDS = ("Modality", "Rows", "Columns", "ViewPosition", "BodyPartExamined")


def filled(chain: Chain, number: int) -> None:
    """So many studies of one radiograph each, whose jobs wait for a worker."""
    pixels = [chest(one, view="PA", rows=SIDE, columns=SIDE) for one in range(4)]
    for which in range(number):
        now = datetime.now(UTC)
        order = Order(time_of(now) + which, "PHANTOM^BENCH", "O", now)
        ds = digital_radiograph(order, Exposure(pixels[which % 4]))
        key = InstanceKey(
            str(ds.StudyInstanceUID), str(ds.SeriesInstanceUID),
            str(ds.SOPInstanceUID), str(ds.SOPClassUID), str(ExplicitVRLittleEndian),
        )  # fmt: skip
        stored = chain.instances.put(key, [encode_data_set(ds)])
        told = {one: str(ds.get(one, "")) for one in _KEYWORDS if ds.get(one)}
        about = ("MODALITY", "DICOMNODE", "127.0.0.1", told)
        chain.worklist.intake.record(ReceivedInstance(key, stored, now, *about))
    studies = chain.worklist.studies
    for one in studies.receiving():
        assert studies.complete(one, now)
    for one in studies.unrouted():
        uid = one.study_instance_uid
        job = NewJob(job_id_of(uid, 1, "cxr-qc"), uid, 1, "cxr-qc", 0)
        assert studies.route(one, [job], "", now)


def time_of(now: datetime) -> int:
    """A number that no earlier run has used."""
    return int(now.timestamp() * 1000) % 10**8 * 1000


@contextmanager
def workers(chain: Chain, number: int) -> Iterator[list[Role]]:
    """So many, ready, and idle because all work is paused."""
    chain.worklist.pauses.pause(Pause(Service.WORK, datetime.now(UTC)))
    config = chain.folder / "config.toml"
    roles = [Role("work", config, chain.folder / f"work{one}") for one in range(number)]
    try:
        for one in roles:
            one.start()
        for one in roles:
            one.ready(READY["work"])
        yield roles
    finally:
        for one in roles:
            one.kill()


def measured(chain: Chain, n_workers: int, n_studies: int) -> dict[str, object]:
    """Studies each second; every one must have been analysed, and once."""
    before = chain.worklist.views.counts()["job"]["COMPLETED"]
    with workers(chain, n_workers) as roles:
        filled(chain, n_studies)
        began, used = monotonic(), processor_seconds(roles)
        chain.worklist.pauses.resume(datetime.now(UTC))
        wanted = before + n_studies
        while (done := chain.worklist.views.counts()["job"]["COMPLETED"]) < wanted:
            sleep(0.02)
        elapsed = monotonic() - began
        used = processor_seconds(roles) - used
    assert done == wanted, f"{done - before} of {n_studies}"
    attempts = {row["attempts"] for row in chain.worklist.views.worklist()}
    return {
        "studies/s": round(n_studies / elapsed, 2),
        "cores busy": round(used / elapsed, 2),
        "processor seconds a study": round(used / n_studies, 3),
        "most attempts at one job": max(attempts),
    }


def processor_seconds(roles: Sequence[Role]) -> float:
    """What these processes, with the children they have reaped, have taken so far."""
    ticks = 0
    for one in roles:
        # proc_pid_stat(5): the name in brackets may hold anything.
        fields = Path(f"/proc/{one.pid}/stat").read_text().rpartition(")")[2].split()
        ticks += sum(map(int, fields[11:15]))
    return ticks / os.sysconf("SC_CLK_TCK")


def main(words: Sequence[str] = ()) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.bench throughput")
    parser.add_argument("--studies", type=int, default=60, help="for each number")
    parser.add_argument(
        "--waiting", type=int, default=240, help="studies that only wait; 0: none"
    )
    parser.add_argument("--seconds", type=float, default=0.5, help="that those wait")
    parser.add_argument("--workers", type=int, nargs="*", default=WORKERS)
    parser.add_argument("--kind", choices=KINDS, action="append")
    given = parser.parse_args(words)
    fork_server(("work",))
    for kind in given.kind or KINDS:
        if given.waiting:
            waiting(kind, given.waiting, given.seconds, given.workers)
        with ExitStack() as stack:
            name = stack.enter_context(TemporaryDirectory(prefix="dicomnode-bench-"))
            url = stack.enter_context(OPENED[kind]())
            chain = Chain(Path(name) / "node", 9, (), url)
            stack.callback(chain.close)
            for number in given.workers:
                figures = measured(chain, number, given.studies)
                told = {"database": kind, "workers": number, **figures}
                print(json.dumps({**told, "cores": os.cpu_count()}), flush=True)
    return 0
