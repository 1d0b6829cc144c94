"""Bundles that somebody has changed: a signed one, altered in one of many ways.

`python -m tests.faults.tampering --full` tries 1,000 alterations and prints how many
were refused; CI tries 50 (tests/faults/test_bundle_tampering.py).
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

from model import bundle
from model.bundle import BundleError, integrity, signing
from tests.model.foreign import key_pair

SHIPPED = Path(bundle.__file__).parents[1] / "bundles" / "cxr-qc"
FULL, CI = 1000, 50

Alteration = Callable[[Path, random.Random], None]


def flip(folder: Path, draw: random.Random) -> None:
    """Some bits of one byte, in a file drawn without regard to its size."""
    path = folder / draw.choice(sorted(integrity.files(folder)))
    _flip(path, draw.randrange(path.stat().st_size), draw)


def flip_weights(folder: Path, draw: random.Random) -> None:
    """Some bits of one weight: the size stays, and so does everything that is read."""
    path = folder / "model.safetensors"
    _flip(path, draw.randrange(path.stat().st_size), draw)


def flip_header(folder: Path, draw: random.Random) -> None:
    """Some bits in the header of the weights."""
    _flip(folder / "model.safetensors", draw.randrange(64), draw)


def cut(folder: Path, draw: random.Random) -> None:
    """The end of a file is missing."""
    path = folder / draw.choice(sorted(integrity.files(folder)))
    with path.open("r+b") as file:
        file.truncate(draw.randrange(path.stat().st_size))


def lengthen(folder: Path, draw: random.Random) -> None:
    """Something follows the end of a file."""
    path = folder / draw.choice(sorted(integrity.files(folder)))
    with path.open("ab") as file:
        file.write(draw.randbytes(draw.randint(1, 64)))


def remove(folder: Path, draw: random.Random) -> None:
    """A file is missing."""
    (folder / draw.choice(sorted(integrity.files(folder)))).unlink()


def exchange(folder: Path, draw: random.Random) -> None:
    """Two files have changed places."""
    one, other = draw.sample(sorted(integrity.files(folder)), 2)
    between = folder / "between.json"
    (folder / one).rename(between)
    (folder / other).rename(folder / one)
    between.rename(folder / other)


def add_program(folder: Path, draw: random.Random) -> None:
    """A file of a kind that could be executed, or unpickled."""
    name = draw.choice(["model.pt", "model.pkl", "x.py", "run.sh", "lib.so", "a.bin"])
    (folder / name).write_bytes(b"\x80\x04cos\nsystem\n.")


def add_unlisted(folder: Path, draw: random.Random) -> None:
    """A harmless file that nobody signed."""
    (folder / "report" / f"extra{draw.randrange(9)}.json").write_text("{}")


def link(folder: Path, draw: random.Random) -> None:
    """A link instead of a file, to the same content or to the system's."""
    path = folder / draw.choice(sorted(integrity.files(folder)))
    aside = folder.parent / "aside"
    shutil.move(path, aside)
    path.symlink_to(draw.choice([aside, Path("/etc/passwd")]))


def link_folder(folder: Path, draw: random.Random) -> None:
    """A folder that is a link."""
    del draw
    aside = folder.parent / "report-aside"
    shutil.move(folder / "report", aside)
    (folder / "report").symlink_to(aside)


def slip(folder: Path, draw: random.Random) -> None:
    """The manifest names a file outside the bundle, and is signed by a stranger."""
    path = folder / integrity.MANIFEST
    table = json.loads(path.read_bytes())
    outside = draw.choice(["../outside.json", "/etc/passwd.json", "a/../../b.json"])
    table["files"][outside] = {"sha256": "0" * 64, "size": 0}
    path.write_bytes(integrity.written(table))


def resign(folder: Path, draw: random.Random) -> None:
    """Changed, with a right manifest, signed by the key of somebody else."""
    card = folder / "model_card.md"
    card.write_text(card.read_text("utf-8") + f"better by {draw.random()}\n", "utf-8")
    (folder / integrity.MANIFEST).write_bytes(integrity.build(folder))
    keys = folder.parent / "stranger"
    if not keys.is_dir():
        keys.mkdir()
        key_pair(keys)
    private = next(one for one in keys.iterdir() if "private" in one.name)
    signing.sign_bundle(folder, private)


def unsign(folder: Path, draw: random.Random) -> None:
    """Changed, with a right manifest, and no signature at all."""
    card = folder / "model_card.md"
    card.write_text(card.read_text("utf-8") + f"better by {draw.random()}\n", "utf-8")
    (folder / integrity.MANIFEST).write_bytes(integrity.build(folder))
    (folder / integrity.SIGNATURE).unlink()


ALTERATIONS: tuple[Alteration, ...] = (
    flip, flip, flip, flip_weights, flip_weights, flip_header, cut, lengthen, remove,
    exchange, add_program, add_unlisted, link, link_folder, slip, resign, unsign,
)  # fmt: skip


def _flip(path: Path, at: int, draw: random.Random) -> None:
    with path.open("r+b") as file:
        file.seek(at)
        (before,) = file.read(1)
        file.seek(at)
        file.write(bytes([before ^ draw.randint(1, 255)]))


def attempts(folder: Path, number: int, seed: int) -> Iterator[tuple[str, int, bool]]:
    """``number`` alterations in turn: name, its draw, and whether it was refused."""
    (folder / "keys").mkdir()
    private, public = key_pair(folder / "keys")
    original = folder / "original"
    shutil.copytree(SHIPPED, original)
    bundle.sign_bundle(original, private)
    bundle.describe(original, public)
    for turn in range(number):
        alteration = ALTERATIONS[turn % len(ALTERATIONS)]
        with tempfile.TemporaryDirectory(dir=folder) as scratch:
            copy = Path(scratch) / "bundle"
            shutil.copytree(original, copy)
            alteration(copy, random.Random(seed + turn))
            yield alteration.__name__, seed + turn, _refused(copy, public)


def _refused(folder: Path, public: Path) -> bool:
    try:
        bundle.describe(folder, public)
    except BundleError:
        return True
    return False


def main() -> int:
    """Print the figures; 1 when an altered bundle was taken."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--full", action="store_true")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    refused: Counter[str] = Counter()
    taken = []
    with tempfile.TemporaryDirectory() as folder:
        number = FULL if given.full else CI
        for name, draw, is_refused in attempts(Path(folder), number, given.seed):
            refused[name] += is_refused
            if not is_refused:
                taken.append(f"{name} {draw}")
    print(f"altered bundles refused: {refused.total()} of {number}")
    for name, count in sorted(refused.items()):
        print(f"  {name:<14} {count}")
    print(f"taken: {', '.join(taken) or 'none'}")
    return 1 if taken else 0


if __name__ == "__main__":
    sys.exit(main())
