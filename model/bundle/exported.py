"""A bundle's network written for another runtime, kept, and at work as a Runner.

What is kept is a folder named by the bundle's digest, with the hash of each file in its
own table: one that was changed or cut short is written anew from the bundle.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from model.bundle import integrity, runtimes
from model.bundle.errors import BundleError
from model.network import n_channels

if TYPE_CHECKING:
    from model.bundle.arithmetic import Precision, Wanted
    from model.bundle.gpu import Runner
    from model.bundle.runtimes import Runtime, Session
    from model.bundle.serve import Bundle
    from model.network import Classifier, Output

_RUNTIMES: dict[str, Runtime] = {"onnxruntime": "onnx", "openvino": "openvino"}
_SUMS = "sha256.json"
_VERSION = 1
"""Of what is written: an update that writes otherwise must not read the old."""


class SessionRunner:
    """The feature map from the other runtime, read by the bundle's own heads."""

    def __init__(self, network: Classifier, session: Session) -> None:
        self._network = network
        self._session = session

    def __call__(self, images: torch.Tensor) -> Output:
        """(batch, channels, N, N) on the CPU -> as the network."""
        features = self._session(images.numpy())[-1]
        return self._network.read(torch.from_numpy(features))


def runner(bundle: Bundle, name: str, precision: Precision, wanted: Wanted) -> Runner:
    """The network in the runtime ``name``; raises BundleError when it cannot be."""
    engine = bundle.parts.engine
    if engine.device.type != "cpu" or precision != "float32":
        raise BundleError(f"{name} runs float32 on the CPU only; use runner torch")
    runtime = _RUNTIMES[name]
    if wanted.cache is None:
        with tempfile.TemporaryDirectory() as draft:
            path = _written(bundle, runtime, Path(draft))
            session = runtimes.opened(runtime, path, wanted.threads)
    else:
        path = _kept(bundle, runtime, wanted.cache)
        session = runtimes.opened(runtime, path, wanted.threads)
    return SessionRunner(engine.network, session)


def _kept(bundle: Bundle, runtime: Runtime, cache: Path) -> Path:
    folder = cache / f"{bundle.description.digest}-{runtime}-{_VERSION}"
    if not _is_whole(folder):
        _write_anew(bundle, runtime, folder)
    return folder / runtimes.FILES[runtime]


def _is_whole(folder: Path) -> bool:
    try:
        sums = json.loads((folder / _SUMS).read_text("utf-8"))
        return bool(sums) and sums == _sums(folder)
    except (OSError, ValueError):
        return False


def _sums(folder: Path) -> dict[str, str]:
    paths = sorted(path for path in folder.iterdir() if path.name != _SUMS)
    return {path.name: integrity.sha256(path) for path in paths}


def _write_anew(bundle: Bundle, runtime: Runtime, folder: Path) -> None:
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".new-") as new:
            draft = Path(new) / "network"
            draft.mkdir()
            _written(bundle, runtime, draft)
            (draft / _SUMS).write_text(json.dumps(_sums(draft)), "utf-8")
            shutil.rmtree(folder, ignore_errors=True)
            os.replace(draft, folder)
    except OSError as error:
        raise BundleError(
            f"the network cannot be kept for {runtime} ({error.strerror}): give room"
            " in node.data_dir, or use runner torch"
        ) from error


def _written(bundle: Bundle, runtime: Runtime, folder: Path) -> Path:
    engine, path = bundle.parts.engine, folder / runtimes.FILES[runtime]
    size = engine.preset.size
    channels = n_channels(engine.network)
    example = torch.zeros(2, channels, size, size)
    facts = {"digest": bundle.description.digest}
    runtimes.write(runtime, engine.network, example, path, facts)
    return path
