"""Rows 31 to 33 on a real GPU; skipped where there is none.

What only a device can show: graphs that say what the network says, memory that really
runs out, and a device that is lost in the middle of its work.
"""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch

from dicomnode.domain.findings import ImageFindings
from dicomnode.predictor import BundleNetwork, BundlePredictor, Site, choose_device
from model import bundle
from model.bundle.gpu import Graphed
from model.phantom import chest
from tests.bench import heavy
from tests.bench.device.whole import part10
from tests.faults.test_worker_model import study

CXR_QC = Path(bundle.__file__).parents[1] / "bundles" / "cxr-qc"
pytestmark = pytest.mark.skipif(
    not torch.cuda.is_available(), reason="needs a GPU that torch can use"
)


@pytest.fixture(scope="module")
def on_gpu():
    return bundle.load(CXR_QC, "cuda", running=bundle.Wanted())


def images(number: int) -> list[np.ndarray]:
    return [
        chest(n, view="PA", rows=300 + n, columns=260).astype(np.float32) / 4095
        for n in range(number)
    ]


def probabilities(said) -> np.ndarray:
    return np.array([list(one.probabilities.values()) for one in said])


def test_cuda_graphs_say_what_the_network_says_on_the_cpu_whatever_the_batch(on_gpu):
    assert isinstance(on_gpu.parts.engine.runner, Graphed)
    given = images(20)
    expected = probabilities(bundle.load(CXR_QC).predict(given))
    for n in (1, 2, 3, 5, 8, 13, 16, 20):  # 20 is more than any graph takes
        found = probabilities(on_gpu.predict(given[:n]))
        assert np.abs(found - expected[:n]).max() <= 0.01, n


def test_cuda_batches_side_by_side_are_not_mixed_up(on_gpu):
    given = images(16)
    expected = probabilities(on_gpu.predict(given))
    prepared = [on_gpu.prepare(one) for one in given]

    def turned(start: int) -> float:
        order = [(start + n) % 16 for n in range(16)]
        worst = 0.0
        for _ in range(30):
            found = probabilities(on_gpu.run([prepared[n] for n in order]))
            worst = max(worst, float(np.abs(found - expected[order]).max()))
        return worst

    with ThreadPoolExecutor(2) as pool:
        assert max(pool.map(turned, (0, 7))) < 5e-3


def test_cuda_float32_is_float32():
    found = bundle.load(CXR_QC, "cuda", running=bundle.Wanted("float32"))
    assert str(found.arithmetic) == "torch float32"
    given = images(4)
    expected = probabilities(bundle.load(CXR_QC).predict(given))
    assert np.abs(probabilities(found.predict(given)) - expected).max() < 1e-3


def test_32_cuda_memory_that_runs_out_halves_the_batch(tmp_path):
    loaded = bundle.load(heavy.pack(tmp_path / "heavy"), "cuda")
    network = BundleNetwork(loaded, "cuda")
    prepared = [network.prepare(one) for one in images(4)] * 16
    torch.cuda.empty_cache()
    total = torch.cuda.get_device_properties(0).total_memory
    room = torch.cuda.memory_reserved() + (300 << 20)
    torch.cuda.set_per_process_memory_fraction(room / total)
    try:
        answers = network.run(prepared)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    assert network.most < len(prepared)
    assert len(answers) == len(prepared)
    assert all(hasattr(one, "logits") for one in answers[:1])


LOST = """
import sys
import torch
from pathlib import Path
from io import BytesIO
from dicomnode.errors import DeviceLost
from dicomnode.predictor import BundlePredictor, Site, choose_device
from model import bundle
from tests.faults.test_worker_model import study

running = bundle.Wanted()
predictor = BundlePredictor(Path(sys.argv[1]), "cuda", site=Site(running=running))
files = [Path(sys.argv[2]).read_bytes()]
assert len(predictor.predict(study(files))) == 1
try:  # an assertion on the device: nothing more can be done with it in this process
    torch.zeros(2, device="cuda")[torch.tensor([5], device="cuda")].cpu()
except RuntimeError as error:
    print("harmed:", str(error).splitlines()[0])
try:
    predictor.predict(study(files))
except DeviceLost as error:
    print("lost:", error)
print("then:", choose_device("auto"))
"""


def test_33_a_cuda_device_that_is_lost_is_said_to_be_and_auto_takes_the_cpu(tmp_path):
    path = tmp_path / "one.dcm"
    path.write_bytes(part10(1, 300, 260))
    ended = subprocess.run(
        [sys.executable, "-c", LOST, str(CXR_QC), str(path)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert "lost: the device cuda failed" in ended.stdout, ended.stdout + ended.stderr
    assert "then: cpu" in ended.stdout, ended.stdout + ended.stderr


def test_cuda_is_what_auto_chooses_and_the_predictor_answers():
    assert choose_device("auto") == "cuda"
    site = Site(running=bundle.Wanted())
    predictor = BundlePredictor(CXR_QC, "cuda", site=site)
    [answer] = predictor.predict(study([part10(1, 1024, 896)]))
    assert isinstance(answer, ImageFindings)
    assert predictor.describe().parameters["arithmetic"].startswith("torch ")
