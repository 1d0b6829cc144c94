"""A CT series of 300 slices: decoding in chunks beside one by one, and end to end."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from shutil import copytree

from pydicom import Dataset, dcmread
from pydicom.uid import generate_uid

from dicomnode.decoder import CHUNK, DecodeLimits, DecoderPool, Wanted
from model.phantom_ct import scan
from tests.bench.latency import a_pacs
from tests.integration.rig import Node, storescu
from tests.series import ct

SLICES, SIZE = 300, 512
WINDOWS = ((-600.0, 1500.0), (40.0, 400.0))
GROUPS = tuple(
    f"CT{name}Sequence"
    for name in (
        "AcquisitionDetails",
        "AcquisitionType",
        "Exposure",
        "Geometry",
        "ImageFrameType",
        "Position",
        "Reconstruction",
        "TableDynamics",
        "XRayDetails",
    )
)
PIPELINE = """
[[pipeline]]
name = "ct-nodule"
bundle = "ct-nodule"
match = { Modality = "CT" }
results = ["sr", "sc"]
destinations = ["PACS"]

"""


def files(folder: Path) -> list[Path]:
    """A phantom of the size of a patient's scan."""
    drawn = scan(3, lesion=True, n_slices=SLICES, size=SIZE, spacing_mm=1)
    return ct.write_series(drawn, folder)


def enhanced(folder: Path) -> Path:
    """The same scan as one Enhanced CT object, as many groups to a frame as scanners
    write.
    """
    drawn = scan(3, lesion=True, n_slices=SLICES, size=SIZE, spacing_mm=1)
    ds = ct.enhanced(drawn)
    for number, frame in enumerate(ds.PerFrameFunctionalGroupsSequence, 1):
        frame.FrameContentSequence = [Dataset()]
        frame.FrameContentSequence[0].DimensionIndexValues = [1, number]
        for keyword in GROUPS:
            item = Dataset()
            item.FrameType = ["ORIGINAL", "PRIMARY", "VOLUME", "NONE"]
            item.KVP, item.ExposureTimeInms, item.TableHeight = 120, 500.0, 150.0
            item.PixelPresentation, item.ReconstructionDiameter = "MONOCHROME", 360
            setattr(frame, keyword, [item])
    return ct.write(ds, folder / "enhanced.dcm")


def decoding(
    pool: DecoderPool, paths: list[Path], whole: Path
) -> dict[str, Callable[[], object]]:
    """Ways to decode all of them through one decoder process, to be compared."""
    return {
        f"{SLICES} slices, two windows, chunks of {CHUNK}": partial(
            in_chunks, pool, paths, CHUNK
        ),
        f"the same as {SLICES} frames of one Enhanced CT": partial(
            frames_in_chunks, pool, whole, CHUNK
        ),
        f"headers of {SLICES} slices": partial(surveyed, pool, paths),
        f"headers of {SLICES} frames of one Enhanced CT": partial(
            surveyed, pool, [whole]
        ),
        "the same, one message for each slice": partial(in_chunks, pool, paths, 1),
        "the same, each as an image": partial(one_by_one, pool, paths),
    }


@contextmanager
def opened(paths: list[Path]) -> Iterator[list]:
    with ExitStack() as stack:
        yield [stack.enter_context(path.open("rb")) for path in paths]


def in_chunks(pool: DecoderPool, paths: list[Path], size: int) -> None:
    with opened(paths) as handles:
        chunks = [handles[n : n + size] for n in range(0, len(handles), size)]
        wanted = Wanted((0,), WINDOWS)
        answers = [pool.planes(some, [wanted] * len(some)) for some in chunks]
        for answer in answers:
            answer.result()


def frames_in_chunks(pool: DecoderPool, path: Path, size: int) -> None:
    with opened([path]) as handles:
        chunks = [range(n, min(n + size, SLICES)) for n in range(0, SLICES, size)]
        wanted = [Wanted(tuple(frames), WINDOWS) for frames in chunks]
        for answer in [pool.planes(handles, [one]) for one in wanted]:
            answer.result()


def surveyed(pool: DecoderPool, paths: list[Path]) -> None:
    with opened(paths) as handles:
        for first in range(0, len(handles), CHUNK):
            pool.survey(handles[first : first + CHUNK]).result()


def one_by_one(pool: DecoderPool, paths: list[Path]) -> None:
    with opened(paths) as handles:
        for answer in pool.decode(handles):
            answer.result()


def measure(repeat: int, compared: Callable[..., dict[str, str]]) -> dict[str, object]:
    """Milliseconds of the whole series each way, and its latency through the node."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        paths = files(folder / "ct")
        with DecoderPool(DecodeLimits(), 1) as pool:
            whole = enhanced(folder / "enhanced")
            found = compared(decoding(pool, paths, whole), min(repeat, 3))
        return found | end_to_end(folder, paths)


def end_to_end(folder: Path, paths: list[Path]) -> dict[str, object]:
    """From the last C-STORE response and from completion to the SR in the PACS."""
    bundle = ct.train(folder / "ct-nodule")
    with a_pacs(folder) as pacs:
        node = Node(folder / "node", pacs.port, quiet_seconds=1)
        before, table, after = node.config.read_text().partition("[[destination]]")
        node.config.write_text(before + PIPELINE + table + after)
        copytree(bundle, folder / "node" / "var" / "bundles" / "ct-nodule")
        with node.running():
            rows = [one_study(node, again(paths, folder / str(n))) for n in range(2)]
    last = rows[-1]  # the first one warms what it needs
    sent = f"last C-STORE response -> SR in {type(pacs).__name__}"
    return {
        f"CT of {SLICES} slices: {sent}": (
            f"{last[1]:.0f} ms, of which 1000 ms wait for more of the study"
        ),
        f"CT of {SLICES} slices: complete -> SR in the PACS": f"{last[0]:.0f} ms",
    }


def again(paths: list[Path], folder: Path) -> tuple[str, list[Path]]:
    """The same scan as another study."""
    study, series, found = str(generate_uid()), generate_uid(), []
    for path in paths:
        ds = dcmread(path)
        ds.StudyInstanceUID, ds.SeriesInstanceUID = study, series
        ds.SOPInstanceUID = generate_uid()
        found.append(ct.write(ds, folder / path.name))
    return study, found


def one_study(node: Node, sent: tuple[str, list[Path]]) -> tuple[float, float]:
    study, paths = sent
    storescu(node.port, paths)
    answered = datetime.now(UTC)
    [row] = node.settle([study])
    assert row["outcome"] == "ANALYSED", row
    [sent_at] = [
        datetime.fromisoformat(one["sent_at"])
        for one in node.views.deliveries(row["job_id"])
        if one["result_kind"] == "sr"
    ]
    completed = datetime.fromisoformat(row["completed_at"])
    return milliseconds(sent_at - completed), milliseconds(sent_at - answered)


def milliseconds(elapsed: timedelta) -> float:
    return elapsed.total_seconds() * 1000
