"""Where an image is and what is in it: a file, or a member of an npz archive."""

from __future__ import annotations

import hashlib
import zipfile
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pydicom
from PIL import Image
from pydicom.errors import InvalidDicomError

from model import pixels
from model.data.manifest import ManifestError, Row

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from numpy.typing import NDArray

_RASTER = frozenset({".png", ".jpg", ".jpeg"})
_IN_ARCHIVE = ".npz#"
_BLOCK_BYTES = 1 << 20
_TAIL_BYTES = 64
_ENDS = {".png": b"IEND\xaeB`\x82", ".jpg": b"\xff\xd9", ".jpeg": b"\xff\xd9"}
_LFS = b"version https://git-lfs"


class Member(NamedTuple):
    """`train_images[place]` of an archive, written `archive.npz#train_images/place`."""

    archive: Path
    name: str
    place: int


class Fingerprint(NamedTuple):
    """sha256 of the content. fault: "" or why the file cannot be whole."""

    sha256: str
    fault: str


def read_image(path: Path) -> NDArray[np.float32]:
    """Display pixels (rows, columns) in [0, 1] of a PNG, JPEG, DICOM or npz member.

    A DICOM file goes through `model.pixels`, the path that service uses too. A 16-bit
    PNG carries no window, so its own range is shown, as for a DICOM image without one.
    Raises ManifestError when a PNG or JPEG is broken, UnsupportedPixels for DICOM.
    """
    member = member_of(path)
    if member:
        return _grey(Image.fromarray(_pixels_of(member)))
    if not is_raster(path):
        return pixels.display_pixels(pixels.read(path))
    try:
        with Image.open(path) as image:
            return _grey(image)
    except (OSError, SyntaxError, ValueError) as error:
        raise ManifestError(
            f"{path.name} cannot be decoded ({error}): fetch it again or leave it out"
        ) from error


def is_raster(path: Path) -> bool:
    """Whether this is a PNG or JPEG file, by its name; anything else is DICOM."""
    return path.suffix.lower() in _RASTER


def locate(row: Row, roots: Sequence[Path]) -> Path:
    """File or series of a row, in the first root that has it; else ManifestError."""
    for root in roots:
        path = root / row.path
        member = member_of(path)
        if member.archive.is_file() if member else _is_there(path):
            return path
    raise ManifestError(
        f"{row.path} is in none of {len(roots)} data folders: give the right one"
    )


def unchanged(row: Row, roots: Sequence[Path]) -> Path:
    """As `locate`; ManifestError when it is not what the manifest was made of."""
    path = locate(row, roots)
    if sha256_of(path) != row.sha256:
        raise ManifestError(
            f"{row.path} is not the one of the manifest (sha256 differs): fetch it"
            " again or rebuild the manifest"
        )
    return path


def member_of(path: Path) -> Member | None:
    """The parts of a path into an archive, or None for a plain file."""
    archive, mark, rest = str(path).rpartition(_IN_ARCHIVE)
    name, _, place = rest.partition("/")
    if not mark or not place.isdecimal():
        return None
    return Member(Path(f"{archive}.npz"), name, int(place))


def _is_there(path: Path) -> bool:
    return path.is_file() or of_series(path)[0].is_dir()


def of_series(path: Path) -> tuple[Path, str]:
    """The folder of `folder#SeriesInstanceUID`, and the UID; "" for all of a folder."""
    folder, mark, uid = str(path).rpartition("#")
    return (Path(folder), uid) if mark else (path, "")


def series_files(path: Path) -> list[Path]:
    """The files of a series: of a folder, of `folder#SeriesInstanceUID`, or the one.

    Hidden files and what is not DICOM are left out.
    """
    if path.is_file():
        return [path]
    folder, uid = of_series(path)
    files = sorted(one for one in folder.iterdir() if one.is_file())
    return [one for one in files if _belongs(one, uid)]


def _belongs(path: Path, uid: str) -> bool:
    if path.name.startswith("."):
        return False
    try:
        ds = pydicom.dcmread(
            path, stop_before_pixels=True, specific_tags=["SeriesInstanceUID", "Rows"]
        )
    except (InvalidDicomError, OSError, EOFError, ValueError):
        return False
    return "Rows" in ds and uid in ("", str(ds.get("SeriesInstanceUID")))


def sha256_of(path: Path) -> str:
    """sha256 of a file's bytes, of a member's pixels, or of a series' files."""
    return fingerprint(path).sha256


def fingerprint(path: Path) -> Fingerprint:
    """Hash a file in one pass and see whether it ends as its format ends."""
    member = member_of(path)
    if member:
        return Fingerprint(hashlib.sha256(_pixels_of(member).tobytes()).hexdigest(), "")
    if not path.is_file():
        each = sorted(sha256_of(one) for one in series_files(path))
        whole = hashlib.sha256("".join(each).encode()).hexdigest()
        return Fingerprint(whole, "" if each else "no DICOM image in it")
    hashed, tail, head = hashlib.sha256(), b"", b""
    with path.open("rb") as file:
        while block := file.read(_BLOCK_BYTES):
            hashed.update(block)
            head = head or block[: len(_LFS)]
            tail = (tail + block)[-_TAIL_BYTES:]
    return Fingerprint(hashed.hexdigest(), _fault(path, head, tail))


def size_bytes(path: Path) -> int:
    """Size of a file, of a member's pixels, or of a series' files."""
    member = member_of(path)
    if member:
        return _pixels_of(member).nbytes
    return sum(one.stat().st_size for one in series_files(path))


@lru_cache(maxsize=2)
def array_of(archive: Path, name: str) -> NDArray[Any]:
    """One member of an npz archive, read whole and without pickles.

    Raises ManifestError when the file is no archive or has no such member.
    """
    try:
        with np.load(archive, allow_pickle=False) as opened:
            array: NDArray[Any] = opened[name]
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise ManifestError(
            f"{archive.name} has no readable member {name} ({error}): fetch it again"
        ) from error
    return array


def _pixels_of(member: Member) -> NDArray[np.uint8]:
    images = array_of(member.archive, member.name)
    if member.place >= len(images) or images.dtype != np.uint8:
        raise ManifestError(
            f"{member.archive.name} has no 8-bit image {member.place} in {member.name}:"
            " rebuild the manifest"
        )
    return np.ascontiguousarray(images[member.place])


def _grey(image: Image.Image) -> NDArray[np.float32]:
    """(rows, columns) in [0, 1]; `convert("L")` would clip 16 bits at 255."""
    if image.mode.startswith("I"):
        values = np.asarray(image, np.float32)
        low, span = values.min(), max(float(np.ptp(values)), 1.0)
        return np.asarray((values - low) / np.float32(span), np.float32)
    return np.asarray(image.convert("L"), np.float32) / np.float32(255)


def _fault(path: Path, head: bytes, tail: bytes) -> str:
    if head == _LFS:
        return "a Git LFS pointer, not the file"
    end = _ENDS.get(path.suffix.lower(), b"")
    return "" if tail and end in tail else "truncated or empty"
