"""Pixels as image files, for the report."""

from __future__ import annotations

from base64 import b64encode
from io import BytesIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydicom.dataset import Dataset

_PNG_SIGNATURE = b"\x89PNG"


def radiograph(pixels: NDArray[np.uint16], height: int) -> bytes:
    """A PNG of 12-bit pixels (rows, columns), at most ``height`` pixels high."""
    return _encoded(_fitted(Image.fromarray((pixels >> 4).astype(np.uint8)), height))


def secondary_capture(ds: Dataset) -> bytes:
    """A PNG of an 8-bit secondary capture, as large as it is."""
    return _encoded(Image.fromarray(ds.pixel_array))


def preview(ds: Dataset, height: int) -> bytes:
    """A JPEG of an 8-bit secondary capture, at most ``height`` pixels high."""
    image = _fitted(Image.fromarray(ds.pixel_array), height)
    return _encoded(image, "JPEG", quality=88)


def data_uri(encoded: bytes) -> str:
    """A PNG or JPEG as an address that needs no other file (RFC 2397)."""
    kind = "png" if encoded.startswith(_PNG_SIGNATURE) else "jpeg"
    return f"data:image/{kind};base64,{b64encode(encoded).decode('ascii')}"


def _fitted(image: Image.Image, height: int) -> Image.Image:
    image.thumbnail((4 * height, height), Image.Resampling.LANCZOS)
    return image


def _encoded(image: Image.Image, kind: str = "PNG", **options: int) -> bytes:
    buffer = BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()
