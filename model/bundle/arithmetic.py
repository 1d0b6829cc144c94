"""What may be asked of the arithmetic, what the hardware does natively, what was found.

No network here: `dicomnode model show` reads what a worker or `model verify` noted.
"""

from __future__ import annotations

import importlib.util
import json
import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from pathlib import Path

    import torch

Precision = Literal["float32", "bfloat16", "float16"]
WantedPrecision = Literal["auto", "float32", "bfloat16", "float16"]
WantedRunner = Literal["torch", "onnxruntime", "openvino", "auto"]

_AMPERE = (8, 0)
_WITHOUT_BFLOAT16 = ("SSE41", "AVX", "AVX2", "AVX2_VNNI", "AVX512_CORE")
"""What oneDNN, which multiplies for torch, may be held to by its own variable."""
_MODULES = {"onnxruntime": ("onnxruntime", "onnx"), "openvino": ("openvino",)}


@dataclass(frozen=True)
class Wanted:
    """How a network is to run.

    cache: where a network written for another runtime is kept; None keeps none.
    threads: for the CPU's arithmetic, 0 leaves it to the runtime. batch_size: the most
    images at once, for which a GPU is made ready.
    """

    precision: WantedPrecision = "auto"
    runner: WantedRunner = "torch"
    cache: Path | None = None
    threads: int = 0
    batch_size: int = 16

    def runners(self, device_type: str) -> tuple[str, ...]:
        """In the order in which they are tried; torch is always the last resort."""
        if self.runner == "auto":
            others = _installed() if device_type == "cpu" else ()
        else:
            others = (self.runner,) if self.runner != "torch" else ()
        return (*others, "torch")

    def precisions(self, device: torch.device) -> tuple[Precision, ...]:
        """In the order in which they are tried.

        Another runtime that is asked for by name has float32 alone.
        """
        named = self.runner not in ("torch", "auto") and device.type == "cpu"
        return ("float32",) if named else chain(self.precision, device)


@dataclass(frozen=True)
class Arithmetic:
    """How a network runs: runtime, precision, and how far it is from float32.

    difference: largest of a probability, on the images of the comparison. refused:
    what was to be used before, and why it was not. graphs: whether a GPU runs it as
    CUDA graphs.
    """

    runner: str = "torch"
    precision: Precision = "float32"
    difference: float = 0.0
    refused: tuple[str, ...] = field(default=())
    graphs: bool = False

    def __str__(self) -> str:
        return f"{self.runner} {self.precision}"

    def to_dict(self) -> dict[str, Any]:
        """As noted beside the bundles."""
        return {
            "runner": self.runner,
            "precision": self.precision,
            "largest_difference": float(f"{self.difference:.2g}"),
            "refused": list(self.refused),
            "graphs": self.graphs,
        }


def chain(wanted: WantedPrecision, device: torch.device) -> tuple[Precision, ...]:
    """What is tried, in this order; ``auto`` begins with what the hardware likes.

    A GPU is as fast in float16, which has eight times the resolution of bfloat16 and
    a narrower range; a CPU is not.
    """
    if wanted == "auto":
        fast = has_native_bfloat16(device)
        if fast and device.type == "cuda":
            return ("float16", "bfloat16", "float32")
        wanted = "bfloat16" if fast else "float32"
    return ("float32",) if wanted == "float32" else (wanted, "float32")


def has_native_bfloat16(device: torch.device) -> bool:
    """Whether the device multiplies bfloat16 by itself: emulated it is slower."""
    import torch  # noqa: PLC0415 - reading a note needs none

    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= _AMPERE
    if os.environ.get("ONEDNN_MAX_CPU_ISA", "").upper() in _WITHOUT_BFLOAT16:
        return False
    # Not in every version that we allow.
    capabilities: dict[str, bool] = getattr(torch.cpu, "get_capabilities", dict)()
    return any(capabilities.get(one) for one in ("amx_bf16", "avx512_bf16"))


def note(folder: Path, digest: str, said: Arithmetic) -> None:
    """Keep what was found for the bundle of this digest; OSError when it cannot be."""
    folder.mkdir(parents=True, exist_ok=True)
    path = _note(folder, digest)
    part = path.with_suffix(".part")
    part.write_text(json.dumps(said.to_dict(), indent=1) + "\n", "utf-8")
    part.replace(path)


def noted(folder: Path, digest: str) -> dict[str, Any] | None:
    """What was last found for the bundle of this digest on this machine."""
    try:
        found = json.loads(_note(folder, digest).read_text("utf-8"))
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def _note(folder: Path, digest: str) -> Path:
    return folder / f"{digest}.arithmetic.json"


def _installed() -> tuple[str, ...]:
    return tuple(
        name
        for name, modules in _MODULES.items()
        if all(importlib.util.find_spec(one) for one in modules)
    )
