"""`python -m tests.bench cost`: what one study costs, for `tests.bench scaling`.

Seconds are processor time of one thread, so that what else runs on the machine counts
little; waiting for a disk or a network is not in them. The study is a chest radiograph
of two exposures, each 3072 x 2560 at 16 bit, analysed by the shipped bundle.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from time import process_time

import torch
from pydicom.uid import ExplicitVRLittleEndian
from sqlalchemy import func, select

from dicomnode.domain.instance import InstanceKey
from dicomnode.domain.job import Outcome
from dicomnode.store import LocalStore
from dicomnode.worklist import Worklist, open_worklist, upgrade
from dicomnode.worklist.engine import open_database
from dicomnode.worklist.schema import events, metadata
from model import bundle, pixels
from tests.bench.worker import BUNDLE, radiograph
from tests.contract.worklist.making import (
    NOON,
    current,
    delivered,
    followed,
    new_job,
    new_result,
    received,
    some_uid,
)

INSTANCES = 2
RESULTS = 3


def main(words: Sequence[str] = ()) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.bench cost")
    parser.add_argument("--studies", type=int, default=200, help="through the worklist")
    parser.add_argument("--images", type=int, default=5, help="stored and analysed")
    given = parser.parse_args(words)
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory(prefix="dicomnode-bench-") as name:
        folder = Path(name)
        print(json.dumps(worklist(folder, given.studies)), flush=True)
        print(json.dumps(image(folder, given.images)))
    return 0


def worklist(folder: Path, n_studies: int) -> dict[str, float]:
    """From the first instance to the last delivery, on SQLite."""
    path = folder / "worklist.db"
    url = f"sqlite:///{path}"
    upgrade(url)
    empty = path.stat().st_size
    began = process_time()
    with open_worklist(url) as opened:
        for _ in range(n_studies):
            _through(opened)
        elapsed = process_time() - began
        opened.upkeep.checkpoint()
    with closing(open_database(url)) as database, database.read() as connection:
        rows = sum(
            connection.execute(select(func.count()).select_from(one)).scalar() or 0
            for one in metadata.sorted_tables
            # The counts by state are folded to a few rows.
            if not one.info.get("derived")
        )
        noted = connection.execute(select(func.count()).select_from(events)).scalar()
    return {
        "worklist, processor seconds": round(elapsed / n_studies, 5),
        "rows": round(rows / n_studies, 1),
        "of these events": round((noted or 0) / n_studies, 1),
        "database bytes a row": round((path.stat().st_size - empty) / rows),
    }


def _through(opened: Worklist) -> None:
    study = some_uid()
    for number in range(INSTANCES):
        opened.intake.record(received(number, study=study))
    opened.studies.complete(current(opened, study), NOON)
    opened.studies.route(current(opened, study), [new_job(study)], "", NOON)
    [job] = opened.jobs.claim("w1", ["cxr"], NOON, 60)
    results = [new_result(one, "PACS", study=study) for one in range(RESULTS)]
    opened.jobs.finish(job, Outcome.ANALYSED, "", results, NOON)
    followed(opened)
    delivered(opened)


def image(folder: Path, repeat: int) -> dict[str, float]:
    """One image into the store, and through the network of the bundle."""
    path = radiograph(folder, ExplicitVRLittleEndian)
    content = path.read_bytes()
    store, loaded = LocalStore(folder / "instances", 100), bundle.load(BUNDLE)
    numbers = iter(range(10**6))

    def put() -> None:
        uid = f"2.25.{next(numbers)}"
        key = InstanceKey(uid, uid, uid, _DX, str(ExplicitVRLittleEndian))
        store.put(key, [content[1000:], uid.encode()])

    def analyse() -> None:
        shown = pixels.display_pixels(pixels.read(path))
        loaded.run([loaded.prepare(shown)])

    analyse()
    return {
        "image bytes": len(content),
        "store, processor seconds an image": _each(put, repeat),
        "decode, prepare, predict, processor seconds an image": _each(analyse, repeat),
    }


_DX = "1.2.840.10008.5.1.4.1.1.1.1"


def _each(deed: Callable[[], None], repeat: int) -> float:
    began = process_time()
    for _ in range(repeat):
        deed()
    return round((process_time() - began) / repeat, 4)
