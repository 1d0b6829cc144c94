"""What is sent, and by whom."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.bench.ingest import images
from tests.bench.ingest.images import Template
from tests.bench.ingest.native import Tools
from tests.bench.ingest.ours import CALLED, CALLING

HANG_SECONDS = 600


@dataclass(frozen=True, slots=True)
class Workload:
    """``n_images`` of one kind over ``n_senders`` associations at a time.

    ``one_each``: an association for each image. ``program``: a DCMTK sender, which
    leaves Nagle's algorithm on as scanners do; else ours.
    """

    name: str
    kind: str
    n_images: int
    n_senders: int = 1
    one_each: bool = False
    program: str = ""

    def is_there(self) -> bool:
        """Whether its sender is installed."""
        return not self.program or shutil.which(self.program) is not None

    def describe(self, one: Template) -> str:
        """One line above its table."""
        megabytes = len(one.data_set) / 1e6
        each = "one association per image, " if self.one_each else ""
        senders = f"{each}{self.n_senders} sender(s)"
        by = f" by {self.program}, Nagle on" if self.program else ""
        return f"{self.kind} {megabytes:.2f} MB x {self.n_images}, {senders}{by}"


@dataclass(frozen=True, slots=True)
class Load:
    """A template in a file, for the senders."""

    template: Template
    data_set: Path


WORKLOADS = (
    Workload("ct-1", "CT", 300),
    Workload("ct-4", "CT", 300, 4),
    Workload("ct-8", "CT", 300, 8),
    Workload("mr-1", "MR", 3000),
    Workload("mr-8", "MR", 3000, 8),
    Workload("dx-1", "DX", 40),
    Workload("mg-4", "MG", 40, 4),
    Workload("each-1", "CT", 300, 1, one_each=True),
    Workload("each-8", "CT", 300, 8, one_each=True),
    Workload("dcmsend", "CT", 300, program="dcmsend"),
    Workload("storescu", "CT", 300, program="storescu"),
)
BY_NAME = {one.name: one for one in WORKLOADS}


def load(kind: str, folder: Path) -> Load:
    """The template of one kind, written for the senders."""
    one, path = images.template(kind), folder / f"{kind}.bin"
    path.write_bytes(one.data_set)
    return Load(one, path)


def send(
    work: Workload, given: Load, tools: Tools, port: int, numbers: range, folder: Path
) -> Mapping[str, float]:
    """Send the images with these numbers; the sender's figures."""
    if work.program:
        return _by_program(work, given.template, port, numbers, folder)
    one = given.template
    words = [
        str(port),
        CALLED,
        CALLING,
        str(given.data_set),
        str(one.kind.sop_class_uid),
        "1.2.840.10008.1.2.1",
        *map(str, one.offsets),
        str(one.head),
        str(len(numbers)),
        str(work.n_senders),
        "1" if work.one_each else "0",
        "1" if work.kind in ("DX", "MG") else "0",
        str(numbers.start),
    ]
    ran = subprocess.run(
        [*tools.sender, *words], capture_output=True, text=True, timeout=HANG_SECONDS
    )
    if ran.returncode:
        raise RuntimeError(f"{work.name}: {ran.stderr.strip()}")
    return dict(json.loads(ran.stdout))


def _by_program(
    work: Workload, one: Template, port: int, numbers: range, folder: Path
) -> Mapping[str, float]:
    paths = images.files(one, folder, numbers, len(numbers))
    argv = [work.program, "-aet", CALLING, "-aec", CALLED, "127.0.0.1", str(port)]
    began = time.perf_counter()
    ran = subprocess.run(
        [*argv, *map(str, paths)], capture_output=True, text=True, timeout=HANG_SECONDS
    )
    took = time.perf_counter() - began
    shutil.rmtree(folder)
    if ran.returncode:
        raise RuntimeError(f"{work.name}: {ran.stderr.strip()[-400:]}")
    n_bytes = len(one.data_set) * len(paths)
    return {"images": len(paths), "bytes": n_bytes, "seconds": took, "failures": 0}
