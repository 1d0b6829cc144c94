"""A bundle's network in the form of another runtime, only if it says the same.

The exported file holds the network alone: display pixels still go through the bundle's
preset, and logits through its temperatures. It is compared with the bundle on phantoms
and on the bundle's test image; beyond TOLERANCE nothing is written.
"""

from __future__ import annotations

import json
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch

from model.bundle import BundleError, load, runtimes
from model.phantom import chest

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from torch import Tensor

    from model.bundle.runtimes import Batch, Runtime, Session
    from model.bundle.serve import Bundle
    from model.network import Classifier

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


def export(folder: Path, runtime: Runtime, out: Path) -> Exported:
    """Write the network of a bundle for `onnx` or `openvino`; out: a new folder.

    Raises BundleError when the runtime is not installed or does not agree.
    """
    bundle = load(folder)
    images = torch.stack([bundle.parts.engine.preset(image) for image in _images()])
    with tempfile.TemporaryDirectory() as draft:
        path = Path(draft) / runtimes.FILES[runtime]
        network, facts = bundle.parts.engine.network, _facts(bundle, runtime)
        stored = {name: json.dumps(value) for name, value in facts.items()}
        runtimes.write(runtime, network, images, path, stored)
        difference = _difference(network, images, runtimes.opened(runtime, path))
        if not difference <= TOLERANCE:
            raise BundleError(
                f"{runtime} differs from the bundle by {difference:.2g} in a logit,"
                f" more than {TOLERANCE:g}: not written; use the bundle itself"
            )
        out.mkdir(parents=True, exist_ok=True)
        for file in sorted(Path(draft).iterdir()):
            (out / file.name).write_bytes(file.read_bytes())
        facts |= {"largest_difference": difference}
        text = json.dumps(facts, indent=1, sort_keys=True) + "\n"
        (out / "model.json").write_text(text, "utf-8")
    return Exported(out / path.name, difference, len(images))


def _images() -> Iterator[Batch]:
    for index in range(_N_PHANTOMS):
        view: Literal["PA", "AP"] = "PA" if index % 2 else "AP"
        pixels = chest(_SEED + index, view=view, rows=_ROWS, columns=_COLUMNS)
        yield (pixels / 4095).astype(np.float32)


def _difference(network: Classifier, images: Tensor, run: Session) -> float:
    """Of a logit; a map that differs would differ in its sum, so in them."""
    with torch.inference_mode():
        output = network(images)
    expected = [output.logits[head.name].numpy() for head in network.layout]
    found = run(images.numpy())[: len(expected)]
    pairs = zip(expected, found, strict=True)
    return max(float(np.abs(one - other).max()) for one, other in pairs)


def _facts(bundle: Bundle, runtime: Runtime) -> dict[str, Any]:
    said = bundle.description
    return {
        "name": said.name,
        "version": said.version,
        "digest": said.digest,
        "runtime": runtime,
        "preset": bundle.parts.engine.preset.to_dict(),
        "temperatures": bundle.parts.temperatures,
        "heads": {
            head.name: list(head.classes) for head in bundle.parts.engine.network.layout
        },
        "intended_use": said.intended_use,
    }
