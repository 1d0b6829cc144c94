"""MANIFEST.json: sha256 and size of every file, and nothing beside them.

MANIFEST.sig, the signature of the manifest, is the one file that it does not list.

A bundle comes from outside, so the folder is read with suspicion: no links, no path
that leaves it, no file that is not listed, only kinds of files that are never
executed (a pickle is a program).
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
from pathlib import Path, PurePosixPath
from typing import Any

from model.bundle.errors import BundleError

MANIFEST = "MANIFEST.json"
SIGNATURE = "MANIFEST.sig"
KINDS = frozenset({".json", ".safetensors", ".md", ".html", ".svg", ".png", ".csv"})
_MOST_MANIFEST_BYTES = 1024 * 1024
_MOST_FILES = 1000
_HINT = "install the bundle again from its source"


def check(folder: Path) -> bytes:
    """Compare the folder with its manifest; returns the manifest's bytes.

    Raises BundleError at the first difference.
    """
    raw = _manifest_bytes(folder)
    listed = _listed(raw)
    present = set(files(folder)) - {MANIFEST, SIGNATURE}
    for name in sorted(present - set(listed)):
        raise BundleError(f"{name} is not listed in {MANIFEST}: {_HINT}")
    for name, entry in listed.items():
        if name not in present:
            raise BundleError(f"{name} is listed but missing: {_HINT}")
        _check_file(folder / name, name, entry)
    return raw


def build(folder: Path) -> bytes:
    """The manifest of a folder as it is, always the same bytes for the same files."""
    entries = {
        name: {"sha256": sha256(folder / name), "size": (folder / name).stat().st_size}
        for name in sorted(files(folder))
        if name not in (MANIFEST, SIGNATURE)
    }
    return written({"schema_version": 1, "files": entries})


def written(table: Any) -> bytes:
    """A manifest's one form on disk."""
    return (json.dumps(table, indent=2, sort_keys=True) + "\n").encode()


def files(folder: Path) -> list[str]:
    """Every file as a relative POSIX path; BundleError for links and odd kinds."""
    found: list[str] = []
    signature = folder / SIGNATURE
    for parent, folders, names in os.walk(folder, followlinks=False):
        for name in (*folders, *names):
            path = Path(parent) / name
            _check_kind(path, is_folder=name in folders, named=path == signature)
        found += [
            (Path(parent) / name).relative_to(folder).as_posix() for name in names
        ]
        if len(found) > _MOST_FILES:
            raise BundleError(f"more than {_MOST_FILES} files: this is not a bundle")
    return found


def sha256(path: Path) -> str:
    """Hex digest of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _manifest_bytes(folder: Path) -> bytes:
    path = folder / MANIFEST
    if path.is_symlink() or not path.is_file():
        raise BundleError(f"no {MANIFEST} in {folder.name}: give the bundle's folder")
    if path.stat().st_size > _MOST_MANIFEST_BYTES:
        raise BundleError(f"{MANIFEST} is too large to be one: {_HINT}")
    return path.read_bytes()


def _listed(raw: bytes) -> dict[str, Any]:
    try:
        table = json.loads(raw)
        listed = table["files"]
        version = table["schema_version"]
    except (ValueError, KeyError, TypeError) as error:
        raise BundleError(f"{MANIFEST} cannot be read: {_HINT}") from error
    if version != 1 or not isinstance(listed, dict):
        raise BundleError(f"{MANIFEST} is of version {version}: update this program")
    for name in listed:
        check_name(name)
    return listed


def check_name(name: str) -> None:
    """Raise BundleError for a path that leaves the folder or an odd kind of file."""
    path = PurePosixPath(name)
    leaves = path.is_absolute() or ".." in path.parts or "\\" in name or ":" in name
    if leaves or path.as_posix() != name or "\0" in name:
        raise BundleError(f"{name!r} is a path that leaves the folder: {_HINT}")
    if path.suffix not in KINDS and name != SIGNATURE:
        raise BundleError(
            f"{name} is of a kind that bundles may not hold: weights are safetensors,"
            " never pickles; pack the bundle again"
        )


def _check_kind(path: Path, *, is_folder: bool, named: bool) -> None:
    mode = path.lstat().st_mode
    if is_folder and stat.S_ISDIR(mode):
        return
    if not stat.S_ISREG(mode):
        raise BundleError(f"{path.name} is a link or no plain file: {_HINT}")
    if path.suffix not in KINDS and not named:
        raise BundleError(
            f"{path.name} is of a kind that bundles may not hold: weights are"
            " safetensors, never pickles; pack the bundle again"
        )


def _check_file(path: Path, name: str, entry: Any) -> None:
    expected = entry if isinstance(entry, dict) else {}
    if path.stat().st_size != expected.get("size"):
        raise BundleError(f"{name} has another size than listed: {_HINT}")
    if sha256(path) != expected.get("sha256"):
        raise BundleError(f"{name} has been changed (sha256 differs): {_HINT}")
