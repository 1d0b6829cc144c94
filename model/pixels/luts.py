"""Look-up tables and windows, PS3.3 C.11.1 and C.11.2.

pydicom's `apply_voi` keeps table indices in the width of the table's entries, so an
8-bit table of 4,096 entries wraps round; both its functions index with the type of
the pixels, so neither takes rescaled (floating) values. Its windowing returns the
modality's range and refuses non-monochrome images that hold a window. These few lines
are therefore ours, tested against pydicom where it is right.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from pydicom.valuerep import VR

from model.pixels.errors import UnsupportedPixels

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from pydicom import Dataset

    from model.pixels.header import FrameHeader

    Pixels = NDArray[np.float32]

_DESCRIPTOR_LENGTH = 3
_DEPTHS = range(8, 17)
_SIXTEEN_BITS = 65536


def apply_lut(values: Pixels, item: Dataset, *, signed: bool, little: bool) -> Pixels:
    """Map values through a LUT item (PS3.3 C.11.1.1, C.11.2.1.1).

    Values below the first mapped one get the first entry, those beyond the last get
    the last. signed: whether the first value mapped is signed.
    """
    n_entries, first, _ = lut_descriptor(item, signed=signed)
    table = _entries(item, n_entries, little=little)
    index = np.clip(np.rint(values.astype(np.float64)) - first, 0, n_entries - 1)
    return np.asarray(table[index.astype(np.int64)], np.float32)


def lut_descriptor(item: Dataset, *, signed: bool) -> tuple[int, int, int]:
    """Number of entries, first value mapped, bits per entry."""
    descriptor = item.get("LUTDescriptor")
    if descriptor is None or len(descriptor) != _DESCRIPTOR_LENGTH:
        raise UnsupportedPixels("LUT Descriptor has not three values: correct the LUT")
    entries, first, bits = (int(value) for value in descriptor)
    if bits not in _DEPTHS:
        raise UnsupportedPixels(f"a LUT of {bits} bits is not allowed: correct the LUT")
    # 0 stands for 65,536; the second value has the sign of the pixels, whatever the
    # Value Representation it was read with (PS3.3 C.11.1.1).
    first = _resign(first, signed=signed)
    return (entries & 0xFFFF) or _SIXTEEN_BITS, first, bits


def _resign(number: int, *, signed: bool) -> int:
    wrapped = number & 0xFFFF
    return (
        wrapped - _SIXTEEN_BITS if signed and wrapped >= _SIXTEEN_BITS // 2 else wrapped
    )


def _entries(item: Dataset, n_entries: int, *, little: bool) -> NDArray[np.int64]:
    if "LUTData" not in item or item["LUTData"].is_empty:
        raise UnsupportedPixels("a LUT has no LUT Data: correct the LUT at the source")
    data = item["LUTData"]
    if data.VR == VR.OW or isinstance(data.value, bytes):
        kind = "<u2" if little else ">u2"
        if len(data.value) < 2 * n_entries <= 2 * len(data.value):
            kind = "u1"  # 8-bit entries packed as bytes, tolerated
        table = np.frombuffer(data.value, kind, count=-1)
    else:
        table = np.atleast_1d(np.asarray(data.value, np.int64)) & 0xFFFF
    if len(table) < n_entries:
        raise UnsupportedPixels(
            f"LUT Data has {len(table)} of {n_entries} entries: correct the LUT"
        )
    return table[:n_entries].astype(np.int64)


def apply_window(values: Pixels, header: FrameHeader) -> Pixels:
    """First Window Center and Width by VOI LUT Function, to [0, 1] (C.11.2.1)."""
    centre, width = header.number("WindowCenter"), header.number("WindowWidth")
    if centre is None or width is None:
        raise UnsupportedPixels("Window Center and Width must both be there: add one")
    function = str(header.get("VOILUTFunction") or "LINEAR").strip().upper()
    least = 1.0 if function == "LINEAR" else np.nextafter(0.0, 1.0)
    if width < least:
        raise UnsupportedPixels(
            f"Window Width {width:g} is too small for {function}: correct the window"
        )
    x = values.astype(np.float64)
    if function == "SIGMOID":  # C.11.2.1.3.1
        exponent = np.clip(-4 * (x - centre) / width, -700, 700)
        return np.asarray(1 / (1 + np.exp(exponent)), np.float32)
    if function == "LINEAR":  # C.11.2.1.2.1
        return _ramp(x, centre - 0.5, width - 1)
    if function == "LINEAR_EXACT":  # C.11.2.1.3.2
        return _ramp(x, centre, width)
    raise UnsupportedPixels(
        f"VOI LUT Function {function!r} is not defined: correct it at the source"
    )


def _ramp(x: NDArray[np.float64], centre: float, width: float) -> Pixels:
    if width == 0:
        return np.asarray(x > centre, np.float32)
    return np.asarray(np.clip((x - centre) / width + 0.5, 0, 1), np.float32)
