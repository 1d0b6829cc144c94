"""Faults 32 to 35: memory, device, bundle and numbers, on a real bundle."""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import pytest
import torch
from pydicom.uid import ExplicitVRLittleEndian

from dicomnode.batching import Batcher
from dicomnode.config import load
from dicomnode.decoder import InThisProcess
from dicomnode.demo.phantoms import Exposure, Order, digital_radiograph, encoded
from dicomnode.domain.findings import ImageFindings, NotAnalysed
from dicomnode.domain.instance import Instance
from dicomnode.errors import DeviceLost, PredictionFailed
from dicomnode.predictor import BundlePredictor, choose_device
from dicomnode.processes.work import _pipelines
from model.phantom import chest

BUNDLE = Path(__file__).resolve().parents[2] / "model" / "bundles" / "cxr-qc"
NOON = datetime(2026, 3, 29, 12, tzinfo=UTC)
SIDE = json.loads((BUNDLE / "bundle.json").read_text())["preset"]["size"]
CPU_MEMORY = (
    "[enforce fail at alloc_cpu.cpp:117] DefaultCPUAllocator: can't allocate memory"
)


@pytest.fixture(scope="module")
def files() -> list[bytes]:
    """Five radiographs that the bundle knows; their widths tell them apart."""
    exposures = [
        Exposure(chest(n, view="PA", rows=300, columns=240 + 4 * n)) for n in range(5)
    ]
    return [
        encoded(
            digital_radiograph(Order(n, "PHANTOM^FAULT", "O", NOON), one),
            ExplicitVRLittleEndian,
        )
        for n, one in enumerate(exposures)
    ]


@pytest.fixture
def predictor() -> BundlePredictor:
    return BundlePredictor(BUNDLE, batcher=Batcher(16, 0.5))


def study(files: Sequence[bytes]) -> list[tuple[Instance, io.BytesIO]]:
    return [
        (Instance(f"1.2.{n}", "1.2", "1.2", "1.2", "x", {}), io.BytesIO(one))
        for n, one in enumerate(files)
    ]


def limited(predictor: BundlePredictor, refuse, error: Exception) -> list[int]:
    """Let the network refuse some batches; the sizes of all it was given."""
    run, sizes = predictor._bundle.infer, list[int]()

    def checked(images):
        sizes.append(len(images))
        if refuse(images):
            raise error
        return run(images)

    predictor._bundle.infer = checked
    return sizes


# 32: out of memory on CPU or GPU


@pytest.mark.parametrize(
    "error",
    [RuntimeError(CPU_MEMORY), MemoryError(), torch.OutOfMemoryError("CUDA out of m")],
)
def test_32_out_of_memory_halves_the_batch_and_answers_all(
    predictor: BundlePredictor, files: list[bytes], error: Exception
) -> None:
    sizes = limited(predictor, lambda images: len(images) > 2, error)
    answers = predictor.predict(study(files))
    assert all(isinstance(one, ImageFindings) for one in answers)
    assert max(sizes) > 2
    sizes.clear()
    predictor.predict(study(files))
    assert max(sizes) <= 2, "a smaller batch is remembered"


def test_32_the_one_guilty_image_is_isolated(
    predictor: BundlePredictor, files: list[bytes]
) -> None:
    limited(
        predictor,
        lambda images: any(one.box.columns == width(3) for one in images),
        MemoryError(),
    )
    answers = predictor.predict(study(files))
    refused = [n for n, one in enumerate(answers) if isinstance(one, NotAnalysed)]
    assert refused == [3]
    assert "needs more memory" in answers[3].reason


def test_32_when_no_image_finds_memory_the_job_is_tried_again(
    predictor: BundlePredictor, files: list[bytes]
) -> None:
    limited(predictor, lambda _images: True, MemoryError())
    with pytest.raises(PredictionFailed, match="more memory") as caught:
        predictor.predict(study(files[:2]))
    assert caught.value.retryable


def width(number: int) -> int:
    """Columns on the canvas of the n-th radiograph."""
    return round((240 + 4 * number) * SIDE / 300)


# 33: the GPU disappears


def test_33_a_device_that_fails_in_use_is_told_from_a_bad_image(
    predictor: BundlePredictor, files: list[bytes]
) -> None:
    predictor._network._device = "cuda"
    limited(predictor, lambda _images: True, RuntimeError("CUDA error: unspecified"))
    with pytest.raises(DeviceLost, match="look at the driver"):
        predictor.predict(study(files[:1]))


def test_33_auto_falls_back_to_the_cpu_when_the_gpu_is_listed_but_fails(
    monkeypatch,
) -> None:
    def fail(*_args, **_options):
        raise RuntimeError("CUDA error: no device")

    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.ones", fail)
    assert choose_device("auto") == "cpu"


# 34: the bundle is missing, tampered with, of another architecture, or a pickle


def tampered(folder: Path) -> None:
    weights = folder / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)


def pickled(folder: Path) -> None:
    torch.save({"weights": torch.ones(2)}, folder / "model.safetensors")


def extra(folder: Path) -> None:
    (folder / "model.pkl").write_bytes(b"\x80\x04N.")


def another_architecture(folder: Path) -> None:
    path = folder / "bundle.json"
    table = path.read_text("utf-8")
    path.write_text(table.replace('"architecture": "', '"architecture": "x-'))


def missing(folder: Path) -> None:
    (folder / "MANIFEST.json").unlink()


@pytest.mark.parametrize(
    ("harm", "name"),
    [
        (tampered, "model.safetensors"),
        (pickled, "model.safetensors"),
        (extra, "model.pkl"),
        (another_architecture, "bundle.json"),
        (missing, "no bundle harmed"),
    ],
)
def test_34_a_bad_bundle_is_refused_by_name_and_other_pipelines_go_on(
    tmp_path: Path, capsys, harm, name: str
) -> None:
    folder = tmp_path / "var" / "bundles" / "harmed"
    shutil.copytree(BUNDLE, folder)
    harm(folder)
    config = tmp_path / "config.toml"
    pipelines = "".join(
        f'[[pipeline]]\nname = "{one}"\nbundle = "{one}"\nmatch = {{}}\n'
        'mode = "shadow"\n'
        for one in ("harmed", "cxr-qc")
    )
    config.write_text(f'[node]\ndata_dir = "{tmp_path / "var"}"\n{pipelines}')
    batcher = Batcher(1, 0)
    served = dict(_pipelines(load(config), "cpu", InThisProcess(), batcher))
    assert list(served) == ["cxr-qc"]
    said = capsys.readouterr().out
    assert "worker.bundle_refused" in said
    assert name in said


# 35: the network gives NaN or infinities


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_35_weights_that_give_no_numbers_give_no_findings(
    predictor: BundlePredictor, files: list[bytes], number: float
) -> None:
    for head in predictor._bundle.parts.engine.network.heads.values():
        head.weight.fill_(number)
    answers = predictor.predict(study(files))
    assert all(isinstance(one, NotAnalysed) for one in answers)
    assert {one.reason for one in answers} == {
        "the network's output for this image is not a number"
    }


def test_35_one_image_without_numbers_is_told_from_the_others(
    predictor: BundlePredictor, files: list[bytes]
) -> None:
    prepare = predictor._bundle.prepared

    def poisoned(*image):
        found = prepare(*image)
        if found.box.columns == width(2):
            found.canvas[..., SIDE // 2, SIDE // 2] = float("nan")
        return found

    predictor._bundle.prepared = poisoned
    answers = predictor.predict(study(files))
    assert [n for n, one in enumerate(answers) if isinstance(one, NotAnalysed)] == [2]
