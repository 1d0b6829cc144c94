"""safetensors, read with suspicion: header first, capped, before any tensor."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from safetensors import SafetensorError
from safetensors.torch import load as from_safetensors
from safetensors.torch import save as to_safetensors

from model.bundle.errors import BundleError

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor

_MOST_HEADER_BYTES = 1024 * 1024
_MOST_BYTES = 2 * 1024**3
_LENGTH_BYTES = 8
_DTYPES = frozenset({"F32", "F16", "BF16", "I64", "U8"})


def read_tensors(path: Path) -> dict[str, Tensor]:
    """All tensors of a file; BundleError when it is not a plain safetensors file."""
    raw = path.read_bytes() if path.stat().st_size <= _MOST_BYTES else b""
    _check_header(raw, path.name)
    try:
        return dict(from_safetensors(raw))
    except (SafetensorError, ValueError, KeyError) as error:
        raise BundleError(
            f"{path.name} is not a safetensors file: install the bundle again"
        ) from error


def write_tensors(tensors: dict[str, Tensor]) -> bytes:
    """The same tensors always as the same bytes."""
    ordered = {
        name: tensors[name].detach().cpu().contiguous() for name in sorted(tensors)
    }
    return bytes(to_safetensors(ordered))


def _check_header(raw: bytes, name: str) -> None:
    length = int.from_bytes(raw[:_LENGTH_BYTES], "little")
    if not 0 < length <= min(_MOST_HEADER_BYTES, len(raw) - _LENGTH_BYTES):
        raise BundleError(
            f"{name} has a header of {length} bytes: install the bundle again"
        )
    try:
        header = json.loads(raw[_LENGTH_BYTES : _LENGTH_BYTES + length])
        kinds = {e["dtype"] for n, e in header.items() if n != "__metadata__"}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise BundleError(
            f"the header of {name} cannot be read: install the bundle again"
        ) from error
    if kinds - _DTYPES:
        raise BundleError(
            f"{name} holds tensors of type {sorted(kinds - _DTYPES)}: pack it again"
        )
