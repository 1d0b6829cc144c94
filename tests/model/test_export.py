"""Export: the other runtime says the same, or nothing is written."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from model import bundle, export
from model.bundle import BundleError, runtimes

SHIPPED = Path(bundle.__file__).parents[1] / "bundles" / "cxr-qc"
NEEDED = {"onnx": ("onnx", "onnxruntime", "onnxscript"), "openvino": ("openvino",)}


@pytest.mark.parametrize("runtime", ["onnx", "openvino"])
def test_the_other_runtime_agrees(runtime, tmp_path):
    for module in NEEDED[runtime]:
        pytest.importorskip(module, reason=f"extra {runtime} is not installed")
    done = export.export(SHIPPED, runtime, tmp_path / "out")
    assert done.path.is_file()
    assert done.difference < 1e-4
    facts = json.loads((tmp_path / "out" / "model.json").read_text("utf-8"))
    assert facts["digest"] == bundle.describe(SHIPPED).digest
    assert "Research use only" in facts["intended_use"]


def test_a_runtime_that_differs_is_not_written(tmp_path, monkeypatch):
    def wrong(_runtime, _path):
        heads = bundle.load(SHIPPED).parts.engine.network.layout
        return lambda batch: [
            np.zeros((len(batch), len(head.classes)), np.float32) for head in heads
        ]

    monkeypatch.setattr(runtimes, "write", lambda *_given: None)
    monkeypatch.setattr(runtimes, "opened", wrong)
    with pytest.raises(BundleError, match="not written"):
        export.export(SHIPPED, "onnx", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_missing_extra_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "openvino", None)
    with pytest.raises(BundleError, match=r"pip install 'dicomnode\[openvino\]'"):
        export.export(SHIPPED, "openvino", tmp_path / "out")
