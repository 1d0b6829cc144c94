"""One folder per class: `part/class/file`, or `class/file` with a groups.csv."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from model.data.manifest import ManifestError, Row
from model.data.readers.tables import lines, optional_table

if TYPE_CHECKING:
    from collections.abc import Iterator

    from model.data.readers.reading import Options, Tally

_SUFFIXES = (".png", ".jpg", ".jpeg", ".dcm", ".dicom")
_PARTS = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "test": "test",
    "testing": "test",
}
_GROUPED = ("file", "group")


def read(root: Path, options: Options, tally: Tally) -> Iterator[Row]:
    """Rows of a folder per class; groups.csv (file, group) says who the patients are.

    Without it the patients are unknown, and only a split that is already in the
    folders, or --no-groups, is accepted.
    """
    files = [path for path in image_files(root) if len(path.parts) > 1]
    if not files:
        raise ManifestError(
            f"{root.name or root} has no class/image.png below it: give the folder"
            " above the classes with --root"
        )
    groups = _groups(optional_table(root, "groups.csv"), tally)
    source = options.source or root.resolve().name
    classes = sorted({path.parts[-2] for path in files})
    for path in files:
        yield Row(
            path=str(path),
            patient=_patient(groups, path, source),
            study=str(path.with_suffix("")),
            view="",
            labels={name: float(name == path.parts[-2]) for name in classes},
            split=part_of(path.parts[0]),
            source=source,
            sha256="",
        )


def image_files(root: Path) -> list[Path]:
    """Images below root, relative and sorted; hidden files and folders are no images.

    Archives packed on a Mac hold `__MACOSX/._name.jpeg`, which is no JPEG.
    """
    if not root.is_dir():
        raise ManifestError(f"there is no folder {root}: give another --root")
    return sorted(
        path.relative_to(root)
        for path in root.rglob("*")
        if path.suffix.lower() in _SUFFIXES
        and not any(
            part.startswith((".", "__")) for part in path.relative_to(root).parts
        )
    )


def part_of(folder: str) -> str:
    """train, val or test for the usual names of such a folder, else ""."""
    return _PARTS.get(folder.lower(), "")


def _groups(path: Path | None, tally: Tally) -> dict[str, str] | None:
    if path is None:
        tally.notes.append(
            "there is no groups.csv (file,group), so the patients are unknown"
        )
        return None
    return {
        str(Path(cells["file"].strip())): cells["group"].strip()
        for cells in lines(path, _GROUPED)
    }


def _patient(groups: dict[str, str] | None, path: Path, source: str) -> str:
    if groups is None:
        return ""
    group = groups.get(str(path))
    if not group:
        raise ManifestError(f"groups.csv has no group for {path}: add it")
    return f"{source}-{group}"
