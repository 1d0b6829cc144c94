"""Small datasets made in memory for the pixel tests."""

from __future__ import annotations

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import ExplicitVRLittleEndian


def image(values, *, bits=8, stored=None, signed=False, **more):
    """A native monochrome image; `more` are attributes, None removes one."""
    array = np.atleast_2d(np.asarray(values))
    kind = f"<{'i' if signed else 'u'}{bits // 8}"
    ds = Dataset()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.Rows, ds.Columns = array.shape
    ds.SamplesPerPixel = 1
    ds.PhotometricInterpretation = "MONOCHROME2"
    ds.BitsAllocated = bits
    ds.BitsStored = stored or bits
    ds.HighBit = ds.BitsStored - 1
    ds.PixelRepresentation = int(signed)
    raw = array.astype(kind).tobytes()
    ds.PixelData = raw + b"\0" * (len(raw) % 2)
    ds["PixelData"].VR = "OW" if bits > 8 else "OB"
    for keyword, value in more.items():
        if value is None:
            delattr(ds, keyword)
        else:
            setattr(ds, keyword, value)
    return ds


def lut(entries, first, bits=16, *, n_entries=None, as_bytes=False):
    """A LUT sequence of one item."""
    item = Dataset()
    n = len(entries) if n_entries is None else n_entries
    item.add_new("LUTDescriptor", "US" if first >= 0 else "SS", [n, first, bits])
    if as_bytes:
        item.add_new("LUTData", "OW", np.asarray(entries, "<u2").tobytes())
    else:
        item.add_new("LUTData", "US", list(entries))
    return Sequence([item])
