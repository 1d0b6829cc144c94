"""A bundle as one .zip: stored, never compressed, always the same bytes.

Read with suspicion: entries are stored, so that nothing can grow when it is unpacked,
are few and small enough, are plain files, and stay inside the folder.
"""

from __future__ import annotations

import shutil
import stat
import zipfile
from pathlib import Path

from model.bundle import integrity
from model.bundle.errors import BundleError

MOST_BYTES = 1024**3
_MOST_ENTRIES = 1000
_EPOCH = (1980, 1, 1, 0, 0, 0)
_PLAIN_FILE = (stat.S_IFREG | 0o644) << 16
_UNIX = 3
_ENCRYPTED = 0x1
_HINT = "make it again with `python -m model zip`, or get it again from its source"


def write(folder: Path, file: Path) -> Path:
    """Check a bundle and write it as a .zip; the same bundle gives the same bytes."""
    integrity.check(folder)
    part = file.with_name(file.name + ".part")
    with zipfile.ZipFile(part, "w", zipfile.ZIP_STORED) as archive:
        for name in sorted(integrity.files(folder)):
            entry = zipfile.ZipInfo(name, _EPOCH)
            entry.external_attr, entry.create_system = _PLAIN_FILE, _UNIX
            archive.writestr(entry, (folder / name).read_bytes())
    part.replace(file)
    return file


def extract(file: Path, folder: Path) -> Path:
    """Unpack into a new or empty folder; BundleError for anything unexpected.

    What comes out is not verified yet: `describe` does that.
    """
    try:
        with zipfile.ZipFile(file) as archive:
            entries = archive.infolist()
            _check_entries(entries)
            for entry in entries:
                _extract(archive, entry, folder / entry.filename)
    except (zipfile.BadZipFile, NotImplementedError, OSError) as error:
        raise BundleError(f"{file.name} is no .zip of a bundle: {_HINT}") from error
    return folder


def _check_entries(entries: list[zipfile.ZipInfo]) -> None:
    if len(entries) > _MOST_ENTRIES:
        raise BundleError(f"more than {_MOST_ENTRIES} entries: {_HINT}")
    if sum(entry.file_size for entry in entries) > MOST_BYTES:
        raise BundleError(f"more than {MOST_BYTES} bytes: {_HINT}")
    if len({entry.filename for entry in entries}) != len(entries):
        raise BundleError(f"a name occurs twice: {_HINT}")
    for entry in entries:
        _check_entry(entry)


def _check_entry(entry: zipfile.ZipInfo) -> None:
    integrity.check_name(entry.filename)
    kind = stat.S_IFMT(entry.external_attr >> 16)
    is_plain = kind in (0, stat.S_IFREG) and not entry.flag_bits & _ENCRYPTED
    is_stored = entry.compress_type == zipfile.ZIP_STORED
    if not is_plain or not is_stored or entry.file_size != entry.compress_size:
        raise BundleError(f"{entry.filename} is not a plain stored file: {_HINT}")


def _extract(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with archive.open(entry) as source, path.open("xb") as target:
        shutil.copyfileobj(source, target)
