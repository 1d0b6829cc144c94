"""What `doctor` looks at in child processes: torch, the GPU, and the bundles.

So that it stays light itself, and can tell of a torch that does not even load.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from dicomnode.cli.checkups import Look, fail, ok, warn

if TYPE_CHECKING:
    from dicomnode.config import Config, Pipeline

CHILD_SECONDS = 300
_TORCH = """
import json, sys
import torch, torchvision
from torchvision.ops import nms
nms(torch.zeros((1, 4)), torch.zeros(1), 0.5)
said = {"torch": torch.__version__, "torchvision": torchvision.__version__,
        "cuda": torch.version.cuda, "gpus": []}
if torch.cuda.is_available():
    for number in range(torch.cuda.device_count()):
        major, minor = torch.cuda.get_device_capability(number)
        name = torch.cuda.get_device_name(number)
        arch = f"sm_{major}{minor}"
        said["gpus"].append([name, arch, arch in torch.cuda.get_arch_list()])
json.dump(said, sys.stdout)
"""


def network() -> Look | dict[str, object]:
    """What torch says of itself, from a child process; a Look when it does not load."""
    ended = _child("-c", _TORCH)
    if ended.returncode != 0:
        last = (ended.stderr.strip().splitlines() or ["it said nothing"])[-1]
        remedy = (
            "torch and torchvision must be of one build: install the locked "
            "requirements again"
        )
        return fail("torch", f"does not load: {last}", remedy)
    said: dict[str, object] = json.loads(ended.stdout)
    return said


def torch_and_gpu(config: Config) -> Iterator[Look]:
    """The pair torch and torchvision, and the GPU if one is wanted."""
    said = network()
    if isinstance(said, Look):
        yield said
        return
    yield ok("torch", f"torch {said['torch']} with torchvision {said['torchvision']}")
    wanted = config.worker.device
    gpus = said["gpus"]
    if not isinstance(gpus, list) or not gpus:
        yield _no_gpu(wanted)
        return
    for name, arch, supported in gpus:
        if supported:
            yield ok("gpu", f"{name} ({arch})")
        else:
            remedy = 'set worker.device = "cpu", or install a torch built for it'
            yield warn("gpu", f"{name}: this torch has no code for {arch}", remedy)


def _no_gpu(wanted: str) -> Look:
    driver = Path("/proc/driver/nvidia/version")
    if driver.is_file():
        said = "torch sees no GPU, and there is an NVIDIA driver"
        remedy = "the CUDA of torch needs a newer driver (580 for CUDA 13)"
        state = fail if wanted.startswith("cuda") else warn
        return state("gpu", said, remedy)
    if wanted.startswith("cuda"):
        remedy = 'install its driver, or set worker.device = "auto"'
        return fail("gpu", f"worker.device is {wanted} and there is no GPU", remedy)
    return ok("gpu", "none: the CPU does the work")


def bundles(config: Config) -> Iterator[Look]:
    """Each bundle of a pipeline as the worker would load it, in a child process."""
    if not config.pipeline:
        yield warn("bundle", "no pipeline", "add a [[pipeline]] to the configuration")
    for name in dict.fromkeys(one.bundle for one in config.pipeline):
        yield _bundle(config, name, _users(config.pipeline, name))


def _users(pipelines: tuple[Pipeline, ...], bundle: str) -> str:
    return ", ".join(one.name for one in pipelines if one.bundle == bundle)


def _bundle(config: Config, name: str, users: str) -> Look:
    file = ["--config", str(config.file)] if config.file else []
    ended = _child("-m", "dicomnode", "model", "verify", name, *file)
    if ended.returncode == 0:
        return ok("bundle", f"{ended.stdout.strip().removeprefix('ok: ')} ({users})")
    last = (ended.stderr.strip().splitlines() or ["it said nothing"])[-1]
    what, _, remedy = last.removeprefix("dicomnode: ").rpartition(": ")
    return fail("bundle", what or last, remedy or "install it again from its source")


def _child(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(  # noqa: S603  # our own interpreter
        [sys.executable, *words],
        capture_output=True,
        text=True,
        check=False,
        timeout=CHILD_SECONDS,
    )
