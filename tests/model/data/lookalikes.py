"""Small files in the shape of published data sets; every image is another one."""

from __future__ import annotations

import csv
import gzip
import io
import zlib

import numpy as np
from PIL import Image
from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.uid import ComputedRadiographyImageStorage, ExplicitVRLittleEndian

from model.data.prepare import prepare
from model.data.readers import READERS, Options
from model.data.split import SplitRule


def noise(name, shape=(24, 20), bits=8):
    """Pixels that depend on the name alone."""
    random = np.random.default_rng(zlib.crc32(str(name).encode()))
    kind = np.uint8 if bits == 8 else np.uint16
    return random.integers(0, 2**bits, shape).astype(kind)


def picture(path, mode="L"):
    """A PNG or JPEG, made with its folders."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(noise(path.parts[-4:])).convert(mode).save(path)
    return path


def dicom(path, **attributes):
    """A computed radiograph; attributes are keywords of its header."""
    path.parent.mkdir(parents=True, exist_ok=True)
    ds = Dataset()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.SOPClassUID = ComputedRadiographyImageStorage
    ds.SOPInstanceUID = f"1.2.{zlib.crc32(path.name.encode())}"
    pixels = noise(path.parts[-4:], bits=12)
    ds.Rows, ds.Columns = pixels.shape
    ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
    ds.BitsAllocated, ds.BitsStored, ds.HighBit = 16, 12, 11
    ds.PixelRepresentation = 0
    ds.PixelData = pixels.tobytes()
    ds["PixelData"].VR = "OW"
    for keyword, value in attributes.items():
        setattr(ds, keyword, value)
    ds.save_as(path, enforce_file_format=True)
    return path


def table(path, columns, rows):
    """A CSV file, compressed when its name ends with .gz; columns: names or a line."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    if isinstance(columns, str):
        text.write(columns + "\n")
    else:
        writer.writerow(columns)
    writer.writerows(rows)
    path.parent.mkdir(parents=True, exist_ok=True)
    raw = text.getvalue().encode()
    path.write_bytes(gzip.compress(raw) if path.suffix == ".gz" else raw)
    return path


def read(name, root, rule=None, *, decode=False, **options):
    """What `prepare` makes of a folder."""
    reader = READERS[name]
    given = rule or SplitRule(reader.split)
    return prepare(reader, root, Options(**options), given, decode=decode)


def by_path(prepared):
    """Path -> row."""
    return {row.path: row for row in prepared.rows}


NO_SPLIT = SplitRule("official", val=0, test=0)
