"""Decoding per transfer syntax beside command-line decoders, preprocessing, inference.

Every figure is a median; the ratio is to the peer or to the plain way in the same run,
in turns, so that noise hits all alike.
"""

from __future__ import annotations

import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import torch
from pydicom import dcmread
from pydicom.encaps import get_frame
from pydicom.uid import (
    UID,
    ExplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
)

from dicomnode.decoder import DecodeLimits, DecoderPool
from dicomnode.demo.phantoms import Exposure, Order, digital_radiograph, encoded
from model import bundle, pixels
from model.bundle.serve import Bundle
from model.phantom import chest
from model.pixels import display
from tests.bench import series
from tests.bench import ways as networks

BUNDLE = Path(bundle.__file__).parents[1] / "bundles" / "cxr-qc"
ROWS, COLUMNS = 3072, 2560
PEERS = {
    ExplicitVRLittleEndian: [["dcmconv", "+ti"], ["gdcmconv", "--raw"]],
    JPEG2000Lossless: [["gdcmconv", "--raw"], ["opj_decompress"]],
    RLELossless: [["dcmdrle"], ["gdcmconv", "--raw"]],
    JPEGLosslessSV1: [["dcmdjpeg"], ["gdcmconv", "--raw"]],
    JPEGLossless: [["dcmdjpeg"], ["gdcmconv", "--raw"]],
    JPEGLSLossless: [["dcmdjpls"], ["gdcmconv", "--raw"]],
}
ENCODERS = {
    JPEGLosslessSV1: ["dcmcjpeg", "+e1"],
    JPEGLossless: ["dcmcjpeg", "+el"],
    JPEGLSLossless: ["dcmcjpls", "+el"],
}
"""Where no library of ours encodes: by DCMTK, of the uncompressed file."""

BATCH = 16


def measure(repeat: int) -> dict[str, object]:
    """Milliseconds of each step, and its ratio to what it is held against."""
    with tempfile.TemporaryDirectory() as name:
        folder, found = Path(name), dict[str, object]()
        for syntax, peers in PEERS.items():
            if syntax in ENCODERS and not shutil.which(ENCODERS[syntax][0]):
                continue
            path = radiograph(folder, syntax)
            found |= decoding(path, syntax, peers, repeat)
        path = folder / f"{ExplicitVRLittleEndian}.dcm"
        found |= preprocessing(path, repeat) | inference(repeat)
        found |= networks.measure(repeat)
    return found | series.measure(repeat, compared)


def radiograph(folder: Path, syntax: UID) -> Path:
    order = Order(1, "PHANTOM^BENCH", "O", datetime.now(UTC))
    exposure = Exposure(chest(1, view="PA", rows=ROWS, columns=COLUMNS))
    path = folder / f"{syntax}.dcm"
    if syntax in ENCODERS:
        source = folder / f"{ExplicitVRLittleEndian}.dcm"
        subprocess.run([*ENCODERS[syntax], str(source), str(path)], check=True)
        return path
    path.write_bytes(encoded(digital_radiograph(order, exposure), syntax))
    return path


def decoding(
    path: Path, syntax: UID, peers: list[list[str]], repeat: int
) -> dict[str, object]:
    """File to display pixels in a decoder process, beside whole peer processes.

    A peer's figure holds its start and the writing of a file; ours, preprocessing.
    """
    there = [peer for peer in peers if shutil.which(peer[0])]
    with DecoderPool(DecodeLimits(), 1) as pool:
        ways: dict[str, Callable[[], object]] = {
            f"{syntax.name}: decode and display": lambda: pooled(pool, path)
        }
        for peer in there:
            argv = command(peer, path)
            ways[f"{syntax.name}: {' '.join(peer)}"] = lambda argv=argv: subprocess.run(
                argv, check=True, capture_output=True
            )
        found = medians(ways, repeat)
    ours, *others = found.values()
    if not others:
        return said(found)
    share = f"ours takes {ours / min(others):.2f} of the fastest program"
    return said(found) | {f"{syntax.name}: in short": share}


def command(peer: list[str], path: Path) -> list[str]:
    """That program on this file; one that knows no DICOM gets the stream alone."""
    if peer[0] != "opj_decompress":
        return [*peer, str(path), str(path.with_suffix(".out"))]
    stream = path.with_suffix(".j2k")
    pixel_data = dcmread(path).PixelData
    stream.write_bytes(get_frame(pixel_data, 0, number_of_frames=1))
    return [*peer, "-i", str(stream), "-o", str(path.with_suffix(".raw"))]


def pooled(pool: DecoderPool, path: Path) -> object:
    with path.open("rb") as file:
        return pool.decode([file])[0].result()


def preprocessing(path: Path, repeat: int) -> dict[str, object]:
    """Stored values to display pixels, looked up and worked out one by one."""
    ds = pixels.read(path)
    looked_up = display.is_tabled

    def worked_out() -> object:
        display.is_tabled = lambda _stored: False
        try:
            return pixels.display_pixels(ds)
        finally:
            display.is_tabled = looked_up

    size = f"{ROWS} x {COLUMNS}"
    return compared(
        {
            f"{size}: display pixels by table": lambda: pixels.display_pixels(ds),
            f"{size}: display pixels one by one": worked_out,
        },
        repeat,
    )


def inference(repeat: int) -> dict[str, object]:
    """A batch and single images, each way to run the network, in turns.

    The bare network is what a forward pass alone takes, in the same arithmetic; the
    share of it that a batch reaches is what the rest of the bundle leaves.
    """
    with tempfile.TemporaryDirectory() as cache:
        plain = bundle.load(BUNDLE)
        images = [
            np.random.default_rng(n).random((1024, 900), np.float32) for n in range(4)
        ]
        prepared = [plain.prepare(one) for one in images] * (BATCH // len(images))
        loaded = {
            name: bundle.load(BUNDLE, running=wanted)
            for name, wanted in networks.wanted_ways(Path(cache)).items()
        }
        ours = next(iter(loaded.values()))
        ways: dict[str, Callable[[], object]] = {
            f"{ours.arithmetic}, batch of {BATCH}": lambda: ours.infer(prepared),
            "the same with results": lambda: ours.run(prepared),
            "the same, bare network": lambda: bare(ours, prepared),
            "as packed, eager float32, bare network": lambda: bare(plain, prepared),
        }
        for name, one in list(loaded.items())[1:]:
            ways[f"{name}, batch of {BATCH}"] = lambda one=one: one.infer(prepared)
        alone = {
            f"{name}, one image": lambda one=one: one.infer(prepared[:1])
            for name, one in (*loaded.items(), ("as packed", plain))
        }
        return compared(ways, repeat) | compared(alone, repeat)


def bare(loaded: Bundle, prepared: list) -> object:
    engine = loaded.parts.engine
    with torch.inference_mode():
        return (engine.runner or engine.network)(
            torch.stack([p.canvas for p in prepared])
        )


def compared(ways: dict[str, Callable[[], object]], repeat: int) -> dict[str, str]:
    """Each way in turns; the first one's ratio to the others."""
    return said(medians(ways, repeat))


def medians(ways: dict[str, Callable[[], object]], repeat: int) -> dict[str, float]:
    """Seconds of each way, in turns."""
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(repeat + 1):
        for name, way in ways.items():
            start = time.perf_counter()
            way()
            if number:  # the first one warms caches and allocators
                seconds[name].append(time.perf_counter() - start)
    return {name: statistics.median(found) for name, found in seconds.items()}


def said(seconds: dict[str, float]) -> dict[str, str]:
    """In milliseconds, and the first one's ratio to each."""
    ours = next(iter(seconds.values()))
    return {
        name: f"{found * 1000:.1f} ms, ours takes {ours / found:.2f} of it"
        for name, found in seconds.items()
    }
