"""The decoded cache: stopped and resumed it is the same bytes, without double work."""

from __future__ import annotations

import subprocess
import sys
from threading import Thread

import numpy as np
import pytest

from model.data.cache import cached
from model.data.dataset import Images
from model.data.files import sha256_of
from model.data.manifest import ManifestError
from tests.model.test_data import row

N, SIDE = 150, 4


class Decoder:
    """Counts what it decodes, and fails at one index when told."""

    def __init__(self, fails_at=None):
        self.fails_at = fails_at
        self.done = []

    def __call__(self, index):
        if index == self.fails_at:
            raise ManifestError("stopped: go on")
        self.done.append(index)
        return np.full((SIDE, SIDE), index, np.uint8)


def test_a_stopped_decode_goes_on_and_ends_with_the_same_bytes(tmp_path):
    whole = cached(tmp_path / "a.npy", N, SIDE, Decoder())
    assert whole[:, 0, 0].tolist() == list(range(N))
    with pytest.raises(ManifestError):
        cached(tmp_path / "b.npy", N, SIDE, Decoder(fails_at=100))
    assert not (tmp_path / "b.npy").exists()
    second = Decoder()
    cached(tmp_path / "b.npy", N, SIDE, second)
    assert min(second.done) == 64  # the first chunk was on the disk
    assert (tmp_path / "b.npy").read_bytes() == (tmp_path / "a.npy").read_bytes()
    assert not list(tmp_path.glob("b.part"))
    third = Decoder()
    cached(tmp_path / "b.npy", N, SIDE, third)
    assert third.done == []


KILLED = """
import os, sys, numpy as np
from pathlib import Path
from model.data.cache import cached
def decode(index):
    if index == 130:
        os.kill(os.getpid(), 9)
    return np.full((4, 4), index, np.uint8)
cached(Path(sys.argv[1]), 150, 4, decode)
"""


def test_a_killed_decode_goes_on_too(tmp_path):
    path = tmp_path / "a.npy"
    run = subprocess.run([sys.executable, "-c", KILLED, str(path)])
    assert run.returncode == -9
    rest = Decoder()
    assert cached(path, N, SIDE, rest)[:, 0, 0].tolist() == list(range(N))
    assert min(rest.done) == 128


def test_an_unfinished_file_of_another_shape_or_without_a_count_is_not_trusted(
    tmp_path,
):
    for left_over in ("shape", "count"):
        path = tmp_path / f"{left_over}.npy"
        np.lib.format.open_memmap(
            path.with_suffix(".part"),
            mode="w+",
            dtype=np.uint8,
            shape=(N, SIDE, SIDE + (left_over == "shape")),
        ).flush()
        if left_over == "shape":
            path.with_suffix(".done").write_text("128", "ascii")
        fresh = Decoder()
        cached(path, N, SIDE, fresh)
        assert sorted(fresh.done) == list(range(N))


def test_two_that_ask_at_once_decode_once(tmp_path):
    decoder, seen = Decoder(), []
    path = tmp_path / "a.npy"
    threads = [
        Thread(target=lambda: seen.append(cached(path, N, SIDE, decoder)))
        for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(decoder.done) == list(range(N))
    assert all(np.array_equal(one, seen[0]) for one in seen)


def test_a_broken_image_stops_training_with_its_name_and_the_remedy(tmp_path):

    (tmp_path / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n no more")
    (tmp_path / "broken.dcm").write_bytes(b"no DICOM at all")
    for name, said in (("broken.png", "fetch it again"), ("broken.dcm", "send")):
        broken = row(1, path=name, sha256=sha256_of(tmp_path / name))
        with pytest.raises(ManifestError, match=f"{name}.*{said}"):
            Images((tmp_path,), [broken], side=8, cache=tmp_path / "cache")
