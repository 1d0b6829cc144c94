"""`python -m model prepare`: a published data set becomes one manifest."""

from __future__ import annotations

import argparse
import os
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from model.data import manifest
from model.data.files import fingerprint, locate, member_of, read_image
from model.data.manifest import ManifestError
from model.data.progress import progress
from model.data.readers import READERS, Options, Tally
from model.data.split import UNKNOWN_PATIENT, SplitRule, assign, without_copies
from model.data.volumes import Look, slices_of, stacks
from model.pixels import UnsupportedPixels

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from model.data.manifest import Row
    from model.data.readers import Reader

_MOST_THREADS = 8
T = TypeVar("T")


@dataclass(frozen=True)
class Prepared:
    """The rows of a manifest, and what the user should know about them."""

    rows: tuple[Row, ...]
    tally: Tally

    def __str__(self) -> str:
        """Counts by part and label, what was left out and why, and the notes."""
        patients = {row.patient for row in self.rows}
        unknown = sum(name.startswith(UNKNOWN_PATIENT) for name in patients)
        lines = [f"{len(self.rows)} images of {len(patients)} patients"]
        lines += [_part_line(self.rows, part) for part in ("train", "val", "test")]
        lines += _label_lines(self.rows)
        for reason, n in self.tally.left_out.most_common():
            lines += [f"left out: {n} images, {reason}"] if n else []
        if unknown:
            lines.append(
                f"note: the patients of {unknown} images are unknown; each counts as a"
                " patient of its own, so every interval is too narrow"
            )
        return "\n".join([*lines, *(f"note: {note}" for note in self.tally.notes)])


def prepare(
    reader: Reader,
    root: Path,
    options: Options,
    rule: SplitRule,
    *,
    decode: bool = False,
) -> Prepared:
    """Read a layout, split it by patient and hash every file.

    decode: also decode every image and leave out those that fail. Raises ManifestError.
    """
    tally = Tally()
    found = list(progress(reader.read(root, options, tally), "reading tables"))
    there = [row for row in found if _is_there(row, root, tally.left_out)]
    if not there:
        raise ManifestError(
            f"of {len(found)} images none is below {root}: give the folder of the"
            " images with --root"
        )
    split = assign(there, rule, tally.left_out)
    whole = _hashed(split, root, tally.left_out)
    if decode:
        whole = _decoded(whole, root, tally.left_out)
    rows = without_copies(whole, tally.left_out)
    if not rows:
        raise ManifestError(f"no image below {root} is whole: fetch the data again")
    manifest.check_split(rows)
    return Prepared(tuple(rows), tally)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The readers as sub-commands, each with the options that concern it."""
    names = parser.add_subparsers(required=True, metavar="READER", dest="reader")
    for name, reader in READERS.items():
        one = names.add_parser(name, help=reader.about, description=reader.about)
        one.add_argument("--root", type=Path, required=True, help="the data set")
        one.add_argument("--out", type=Path, required=True, help="manifest (CSV)")
        one.add_argument(
            "--base", type=Path, help="paths are relative to this folder, not to --root"
        )
        for option in reader.takes:
            _OPTIONS[option](one)
        _add_split(one, reader)
        one.add_argument(
            "--decode", action="store_true", help="leave out what cannot be decoded"
        )


def run(parsed: argparse.Namespace) -> str:
    """The verb: write the manifest and say what is in it."""
    given = {
        field.name: getattr(parsed, field.name)
        for field in fields(Options)
        if hasattr(parsed, field.name)
    }
    rule = SplitRule(parsed.split, parsed.val, parsed.test, parsed.no_groups)
    prepared = prepare(
        READERS[parsed.reader],
        parsed.root,
        Options(**given),
        rule,
        decode=parsed.decode,
    )
    rows = below(prepared.rows, parsed.root, parsed.base or parsed.root)
    parsed.out.parent.mkdir(parents=True, exist_ok=True)
    manifest.write(parsed.out, rows)
    return f"{prepared}\nmanifest: {parsed.out} {manifest.digest(rows)}"


def below(rows: Iterable[Row], root: Path, base: Path) -> list[Row]:
    """The rows with paths relative to base, a folder above root.

    So several data sets can be trained on together.
    """
    try:
        prefix = root.resolve().relative_to(base.resolve())
    except ValueError:
        raise ManifestError(
            f"{root} is not below {base}: give a --base that holds the data set"
        ) from None
    return [replace(row, path=str(prefix / row.path)) for row in rows]


def _add_split(one: argparse.ArgumentParser, reader: Reader) -> None:
    one.add_argument(
        "--split",
        choices=("official", "hash"),
        default=reader.split,
        help=f"keep the parts the data set has, or make our own ({reader.split})",
    )
    one.add_argument("--val", type=float, default=0.1, help="share of patients (0.1)")
    one.add_argument("--test", type=float, default=0.1, help="share of patients (0.1)")
    one.add_argument(
        "--no-groups",
        action="store_true",
        help="split although the patients are unknown",
    )


def _choice(
    name: str, choices: tuple[str, ...], about: str
) -> Callable[[argparse.ArgumentParser], None]:
    def add(one: argparse.ArgumentParser) -> None:
        one.add_argument(name, choices=choices, default=choices[0], help=about)

    return add


def _path(name: str, about: str) -> Callable[[argparse.ArgumentParser], None]:
    def add(one: argparse.ArgumentParser) -> None:
        one.add_argument(name, type=Path, help=about)

    return add


def _word(name: str, about: str) -> Callable[[argparse.ArgumentParser], None]:
    def add(one: argparse.ArgumentParser) -> None:
        one.add_argument(name, default="", help=about)

    return add


def _lateral_labels(one: argparse.ArgumentParser) -> None:
    one.add_argument(
        "--lateral-labels",
        action="store_true",
        help="count a study's labels on its lateral images too",
    )


_OPTIONS: dict[str, Callable[[argparse.ArgumentParser], None]] = {
    "views": _choice("--views", ("frontal", "all"), "views that are kept"),
    "lateral_labels": _lateral_labels,
    "labels": _word("--labels", "which labels, see the reader's line"),
    "test_labels": _choice(
        "--test-labels", ("radiologist", "report"), "of the test part, where both are"
    ),
    "readers": _choice(
        "--readers", ("majority", "any", "mean"), "how readers of an image are joined"
    ),
    "tables": _path("--tables", "folder of the tables, when not the root"),
    "mapping": _path("--mapping", "the published mapping to NIH images (JSON)"),
    "table": _path("--table", "the table, when not in the root"),
    "source": _word("--source", "name of the source in the manifest"),
}


def _is_there(row: Row, root: Path, left_out: Counter[str]) -> bool:
    try:
        locate(row, (root,))
    except ManifestError:
        left_out["its file is not there"] += 1
        return False
    return True


def _hashed(rows: Sequence[Row], root: Path, left_out: Counter[str]) -> list[Row]:
    """The rows with their sha256, less those whose file cannot be whole."""
    kept = []
    paths = [root / row.path for row in rows]
    for row, found in zip(rows, _in_order(fingerprint, paths, "hashing"), strict=True):
        if found.fault:
            left_out[found.fault] += 1
        else:
            kept.append(replace(row, sha256=found.sha256))
    return kept


def _decoded(rows: Sequence[Row], root: Path, left_out: Counter[str]) -> list[Row]:
    whole = _in_order(_decodes, [root / row.path for row in rows], "decoding")
    kept = [row for row, good in zip(rows, whole, strict=True) if good]
    left_out["cannot be decoded"] += len(rows) - len(kept)
    return kept


def _decodes(path: Path) -> bool:
    try:
        if path.is_file() or member_of(path):
            read_image(path)
        else:
            stacks(path, [len(slices_of(path)) // 2], Look())
    except (ManifestError, UnsupportedPixels):
        return False
    return True


def _in_order(
    work: Callable[[Path], T], paths: Sequence[Path], what: str
) -> Iterable[T]:
    """work(path) of each path, in several threads, in the order of the paths."""
    with ThreadPoolExecutor(min(_MOST_THREADS, os.cpu_count() or 1)) as pool:
        yield from progress(pool.map(work, paths), what, total=len(paths))


def _part_line(rows: Sequence[Row], part: str) -> str:
    members = [row for row in rows if row.split == part]
    return (
        f"{part}: {len(members)} images of {len({r.patient for r in members})} patients"
    )


def _label_lines(rows: Sequence[Row]) -> list[str]:
    """label: positive/negative/uncertain/blank of each part."""
    counts: dict[str, dict[str, Counter[str]]] = {}
    for row in rows:
        for name, answer in _answers(row):
            parts = counts.setdefault(name, {})
            parts.setdefault(row.split, Counter())[answer] += 1
    return [_label_line(name, parts) for name, parts in sorted(counts.items())]


def _answers(row: Row) -> Iterable[tuple[str, str]]:
    for name, value in row.labels.items():
        yield name, "positive" if value > 0 else "negative"
    yield from ((name, "uncertain") for name in row.uncertain)
    yield from ((name, "blank") for name in row.blank)


def _label_line(name: str, parts: dict[str, Counter[str]]) -> str:
    said = [
        f"{part} " + ", ".join(f"{n} {answer}" for answer, n in sorted(counts.items()))
        for part, counts in sorted(parts.items())
    ]
    return f"label {name}: {'; '.join(said)}"
