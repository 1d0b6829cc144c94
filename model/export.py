"""A bundle's network in the form of another runtime, only if it says the same.

The exported file holds the network alone: display pixels still go through the bundle's
preset, and logits through its temperatures. It is compared with the bundle on phantoms
and on the bundle's test image; beyond TOLERANCE nothing is written.
"""

# ruff: noqa: PLC0415 - each runtime is an extra, imported only where it is asked for

from __future__ import annotations

import json
import tempfile
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from torch import nn

from model.bundle import BundleError, load
from model.phantom import chest

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray
    from torch import Tensor

    from model.bundle.serve import Bundle
    from model.network import Classifier

    Batch = NDArray[np.float32]
    Runner = Callable[[Batch], list[Batch]]

Runtime = Literal["onnx", "openvino"]
TOLERANCE = 1e-3
_N_PHANTOMS, _SEED, _ROWS, _COLUMNS = 6, 900, 160, 140


@dataclass(frozen=True)
class Exported:
    """The written file, and the largest difference of a logit from the bundle's."""

    path: Path
    difference: float
    n_images: int


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `export`."""
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--to", choices=("onnx", "openvino"), required=True)
    parser.add_argument("--out", type=Path, required=True, help="a new folder")
    parser.set_defaults(verb=_run)


def _run(parsed: argparse.Namespace) -> str:
    done = export(parsed.bundle, parsed.to, parsed.out)
    return (
        f"{done.path}: largest difference of a logit on {done.n_images} images"
        f" {done.difference:.2g}"
    )


class _Logits(nn.Module):
    """Images (batch, 1, N, N) -> logits of each head (batch, classes), in order."""

    def __init__(self, network: Classifier) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """The heads in the order of the bundle."""
        output = self.network(images)
        return tuple(output.logits[head.name] for head in self.network.layout)


def export(folder: Path, runtime: Runtime, out: Path) -> Exported:
    """Write the network of a bundle for `onnx` or `openvino`; out: a new folder.

    Raises BundleError when the runtime is not installed or does not agree.
    """
    bundle = load(folder)
    images = torch.stack([bundle.parts.engine.preset(image) for image in _images()])
    write = {"onnx": _onnx, "openvino": _openvino}[runtime]
    with tempfile.TemporaryDirectory() as draft:
        path = Path(draft) / ("model.onnx" if runtime == "onnx" else "model.xml")
        run = write(bundle, images, path)
        difference = _difference(bundle, images, run)
        if not difference <= TOLERANCE:
            raise BundleError(
                f"{runtime} differs from the bundle by {difference:.2g} in a logit,"
                f" more than {TOLERANCE:g}: not written; use the bundle itself"
            )
        out.mkdir(parents=True, exist_ok=True)
        for file in sorted(Path(draft).iterdir()):
            (out / file.name).write_bytes(file.read_bytes())
        (out / "model.json").write_text(_facts(bundle, runtime, difference), "utf-8")
    return Exported(out / path.name, difference, len(images))


def _images() -> Iterator[Batch]:
    for index in range(_N_PHANTOMS):
        view: Literal["PA", "AP"] = "PA" if index % 2 else "AP"
        pixels = chest(_SEED + index, view=view, rows=_ROWS, columns=_COLUMNS)
        yield (pixels / 4095).astype(np.float32)


def _difference(bundle: Bundle, images: Tensor, run: Runner) -> float:
    with torch.inference_mode():
        expected = _Logits(bundle.parts.engine.network)(images)
    found = run(images.numpy())
    pairs = zip(expected, found, strict=True)
    return max(float(np.abs(one.numpy() - other).max()) for one, other in pairs)


def _onnx(bundle: Bundle, images: Tensor, path: Path) -> Runner:
    try:
        import onnx
        import onnxruntime
        import onnxscript  # noqa: F401 - torch.onnx works with it
    except ImportError as error:
        raise BundleError(_not_installed("onnx")) from error
    network = _Logits(bundle.parts.engine.network).eval()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter's own, about its parts
        torch.onnx.export(
            network,
            (images,),
            path,
            input_names=["images"],
            output_names=[head.name for head in network.network.layout],
            dynamic_shapes={"images": {0: torch.export.Dim("batch")}},
            external_data=False,
            verbose=False,
        )
    graph = onnx.load(path)
    facts = json.loads(_facts(bundle, "onnx", None))
    onnx.helper.set_model_props(
        graph, {name: json.dumps(value) for name, value in facts.items()}
    )
    onnx.save(graph, path)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return lambda batch: list(session.run(None, {"images": batch}))


def _openvino(bundle: Bundle, images: Tensor, path: Path) -> Runner:
    try:
        import openvino
    except ImportError as error:
        raise BundleError(_not_installed("openvino")) from error
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's, about the tracer that it uses
        network = _Logits(bundle.parts.engine.network).eval()
        graph = openvino.convert_model(network, example_input=images)
    openvino.save_model(graph, path, compress_to_fp16=False)
    # its default on some CPUs is bfloat16, which moves logits by 7e-3
    exact = {"INFERENCE_PRECISION_HINT": "f32"}
    compiled = openvino.Core().compile_model(path, "CPU", exact)

    def run(batch: Batch) -> list[Batch]:
        answer: dict[Any, Batch] = compiled(batch)
        return [answer[output] for output in compiled.outputs]

    return run


def _facts(bundle: Bundle, runtime: Runtime, difference: float | None) -> str:
    said = bundle.description
    facts = {
        "name": said.name,
        "version": said.version,
        "digest": said.digest,
        "runtime": runtime,
        "preset": bundle.parts.engine.preset.to_dict(),
        "temperatures": bundle.parts.temperatures,
        "heads": {
            head.name: list(head.classes) for head in bundle.parts.engine.network.layout
        },
        "largest_difference": difference,
        "intended_use": said.intended_use,
    }
    return json.dumps(facts, indent=1, sort_keys=True) + "\n"


def _not_installed(extra: str) -> str:
    return f"{extra} is not installed: pip install 'dicomnode[{extra}]'"
