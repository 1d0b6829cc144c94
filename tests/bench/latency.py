"""From a complete study to its report in the PACS, one radiograph at a time, warm.

Beside it stands what an image takes with nothing but a decoder process and the network
in this one, as long after the image before: the rest is the node's.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Iterable
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import torch
from pydicom.uid import ExplicitVRLittleEndian

from dicomnode.decoder import DecodeLimits, DecoderPool, ImageWanted
from dicomnode.demo.minipacs import MiniPacs
from dicomnode.demo.orthanc import Modality, Orthanc, executable
from dicomnode.demo.phantoms import Exposure, Order, digital_radiograph, encoded
from dicomnode.results import VIEWS
from model import bundle
from model.phantom import chest
from tests.bench.heavy import SHIPPED
from tests.integration.rig import Node, storescu

ROWS, COLUMNS = 2048, 1792
ROLES = ("run", "receive", "keep", "work", "deliver")
PAUSE_SECONDS = 2.0
WHOLE = "complete -> SR in the PACS"
LEGS = {
    "complete -> claimed": ("completed_at", "started_at"),
    "claimed -> results durable": ("started_at", "finished_at"),
    "results durable -> SR in the PACS": ("finished_at", "sent_at"),
    WHOLE: ("completed_at", "sent_at"),
}


def measure_positive(repeat: int) -> dict[str, object]:
    """The same with images on their side, which the shipped bundle remarks upon.

    The heat map of that is a page as large as the image.
    """
    return measure(repeat, turned=True)


def measure(repeat: int, *, turned: bool = False) -> dict[str, object]:
    """Median and worst of each leg in milliseconds, and the memory of each role."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with a_pacs(folder) as pacs:
            node = Node(folder / "node", pacs.port)
            with node.running():
                numbers = range(repeat + 1)
                rows = [one_study(node, folder, one, turned=turned) for one in numbers]
                found = {"PACS": type(pacs).__name__, "image": f"{ROWS} x {COLUMNS}"}
                # The first one warms the file cache and the allocator.
                found |= legs(rows[1:]) | memory(node)
        alone = decoded_and_inferred(folder / "0.dcm", repeat)
    return found | overhead(rows[1:], alone)


def a_pacs(folder: Path) -> AbstractContextManager[MiniPacs | Orthanc]:
    if executable() is None:
        return MiniPacs(folder / "pacs", "ORTHANC")
    return Orthanc(folder / "pacs", {"node": Modality("DICOMNODE", 1)})


def one_study(node: Node, folder: Path, number: int, *, turned: bool) -> dict[str, str]:
    order = Order(number, "PHANTOM^BENCH", "O", datetime.now(UTC))
    image = chest(number, view="PA", rows=ROWS, columns=COLUMNS)
    exposure = Exposure(np.rot90(image) if turned else image)
    path = folder / f"{number}.dcm"
    path.write_bytes(
        encoded(digital_radiograph(order, exposure), ExplicitVRLittleEndian)
    )
    storescu(node.port, [path])
    [row] = node.settle([str(order.uid())])
    [sent_at] = [
        delivery["sent_at"]
        for delivery in node.views.deliveries(row["job_id"])
        if delivery["result_kind"] == "sr"
    ]
    return row | {"sent_at": sent_at}


def legs(rows: Iterable[dict[str, str]]) -> dict[str, str]:
    known = list(rows)
    return {
        name: spread([milliseconds(row[start], row[end]) for row in known])
        for name, (start, end) in LEGS.items()
    }


def decoded_and_inferred(path: Path, repeat: int) -> list[tuple[float, float]]:
    """Milliseconds of the decoder and of the network, alone with one image."""
    torch.set_num_threads(1)
    loaded = bundle.load(SHIPPED, running=bundle.Wanted())
    wanted = ImageWanted((), loaded.preparation, measured=True, views=VIEWS)
    found = []
    with DecoderPool(DecodeLimits(), 1) as pool:
        for _ in range(repeat + 1):
            time.sleep(PAUSE_SECONDS)
            began_at = time.perf_counter()
            with path.open("rb") as file:
                [answer] = pool.decode([file], wanted=wanted)
                image = answer.result()
            decoded_at = time.perf_counter()
            shape = image.eight_bit.shape
            loaded.run([loaded.prepared(image.given, image.statistics, shape)])
            ended_at = time.perf_counter()
            found.append((decoded_at - began_at, ended_at - decoded_at))
    return [(1000 * decode, 1000 * infer) for decode, infer in found[1:]]


def overhead(
    rows: Iterable[dict[str, str]], alone: list[tuple[float, float]]
) -> dict[str, str]:
    decode, infer = (statistics.median(leg) for leg in zip(*alone, strict=True))
    start, end = LEGS[WHOLE]
    rest = [milliseconds(row[start], row[end]) - decode - infer for row in rows]
    whole = statistics.median(rest) + decode + infer
    return {
        "decoder and network alone": f"{decode:.0f} ms and {infer:.0f} ms",
        "all the rest": spread(rest),
        "the whole is": f"{whole / (decode + infer):.1f} times decoder and network",
    }


def milliseconds(start: str, end: str) -> float:
    elapsed = datetime.fromisoformat(end) - datetime.fromisoformat(start)
    return elapsed.total_seconds() * 1000


def spread(values: list[float]) -> str:
    return f"median {statistics.median(values):.0f} ms, worst {max(values):.0f} ms"


def memory(node: Node) -> dict[str, str]:
    """Resident memory by role, of which shared between processes is counted once."""
    found = {}
    for pid, words in node.processes():
        role = next((one for one in ROLES if one in words), "other")
        rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
        [pss] = [line.split()[1] for line in rollup.splitlines() if line[:4] == "Pss:"]
        found[f"memory {role}"] = f"{int(pss) / 1024:.0f} MB"
    return found
