"""A bundle's network as a file of another runtime, and that file at work.

The graph goes from a batch of canvases to the logits of each head and to the feature
map, the last output, from which a class activation map is one product away.
"""

# ruff: noqa: PLC0415 - each runtime is an extra, imported only where it is asked for

from __future__ import annotations

import sys
import warnings
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import nn

from model.bundle.errors import BundleError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

    from model.network import Classifier

    Batch = NDArray[np.float32]
    Session = Callable[[Batch], list[Batch]]

Runtime = Literal["onnx", "openvino"]
FEATURES = "features"
FILES: dict[Runtime, str] = {"onnx": "model.onnx", "openvino": "model.xml"}
IMAGES = "images"


class _Outputs(nn.Module):
    """Canvases (batch, 1, N, N) -> logits of each head in order, then features."""

    def __init__(self, network: Classifier) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """The heads in the order of the bundle."""
        output = self.network(images)
        logits = (output.logits[head.name] for head in self.network.layout)
        return (*logits, output.features)


def write(
    runtime: Runtime,
    network: Classifier,
    images: Tensor,
    path: Path,
    facts: Mapping[str, str],
) -> None:
    """Write the network for a runtime; images: an example, of more than one.

    facts: kept in the file, where the runtime has a place for them. Raises BundleError
    when the runtime is not installed.
    """
    outputs = _Outputs(network).eval()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporters' own, about their parts
        if runtime == "onnx":
            _write_onnx(outputs, images, path, facts)
        else:
            _write_openvino(outputs, images, path)


def opened(runtime: Runtime, path: Path, threads: int = 0) -> Session:
    """The file at work on the CPU, a batch at a time; all outputs in order.

    threads: 0 leaves it to the runtime. Raises BundleError when it is not installed.
    """
    return (_open_onnx if runtime == "onnx" else _open_openvino)(path, threads)


def _write_onnx(
    outputs: _Outputs, images: Tensor, path: Path, facts: Mapping[str, str]
) -> None:
    try:
        import onnx
        import onnxscript  # noqa: F401 - torch.onnx works with it
    except ImportError as error:
        raise _not_installed("onnx") from error
    torch.onnx.export(
        outputs,
        (images,),
        path,
        input_names=[IMAGES],
        output_names=[*(head.name for head in outputs.network.layout), FEATURES],
        dynamic_shapes={IMAGES: {0: torch.export.Dim("batch")}},
        external_data=False,
        verbose=False,
    )
    graph = onnx.load(path)
    onnx.helper.set_model_props(graph, dict(facts))
    onnx.save(graph, path)


def _open_onnx(path: Path, threads: int) -> Session:
    try:
        import onnxruntime
    except ImportError as error:
        raise _not_installed("onnx") from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    # Its threads would spin while they wait, on the cores that decode.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    session = onnxruntime.InferenceSession(
        path, options, providers=["CPUExecutionProvider"]
    )
    return lambda batch: list(session.run(None, {IMAGES: batch}))


def _write_openvino(outputs: _Outputs, images: Tensor, path: Path) -> None:
    openvino = _openvino()
    graph = openvino.convert_model(outputs, example_input=images)
    openvino.save_model(graph, path, compress_to_fp16=False)


def _open_openvino(path: Path, threads: int) -> Session:
    # its default on some CPUs is bfloat16, which moves logits by 7e-3
    wanted: dict[str, Any] = {"INFERENCE_PRECISION_HINT": "f32"}
    if threads:
        wanted["INFERENCE_NUM_THREADS"] = threads
    compiled = _openvino().Core().compile_model(path, "CPU", wanted)

    def run(batch: Batch) -> list[Batch]:
        answer: dict[Any, Batch] = compiled(batch)
        return [answer[output] for output in compiled.outputs]

    return run


def _openvino() -> Any:
    # Its converter tells its makers of each use, unasked. Without this part it cannot.
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    try:
        import openvino
    except ImportError as error:
        raise _not_installed("openvino") from error
    return openvino


def _not_installed(extra: str) -> BundleError:
    return BundleError(f"{extra} is not installed: pip install 'dicomnode[{extra}]'")
