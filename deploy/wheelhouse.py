"""Completes a wheelhouse: its list of requirements with hashes, and its checksums.

`make wheelhouse` has put the wheels into it: those of requirements.txt and our own.
Here our own gets a line with its hash, so that one `pip install --no-index
--require-hashes` installs everything, and SHA256SUMS says what has to arrive at the
machine without network. Ends with 1 when a wheel does not belong there.
"""

from __future__ import annotations

import hashlib
import re
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
REQUIREMENTS, SUMS = "requirements.txt", "SHA256SUMS"
_HASH = re.compile(r"--hash=sha256:([0-9a-f]{64})")
_OURS = re.compile(r"dicomnode-(?P<version>[^-]+)-py3-none-any\.whl")
_BLOCK_BYTES = 1 << 20


def complete(house: Path, lock: str) -> int:
    """Write both files; how many wheels there are.

    Raises ValueError for a wheel that the lock does not know, or for several of ours.
    """
    sums = {one.name: sha256(one) for one in sorted(house.glob("*.whl"))}
    ours = [name for name in sums if _OURS.fullmatch(name)]
    if len(ours) != 1:
        message = f"{len(ours)} wheels of dicomnode; empty the folder, and make it anew"
        raise ValueError(message)
    strangers = sorted(set(sums) - set(ours) - set(_known(sums, lock)))
    if strangers:
        message = f"not in the lock: {', '.join(strangers)}; empty the folder"
        raise ValueError(message)
    text = f"{lock.rstrip()}\n{_line(ours[0], sums[ours[0]])}\n"
    (house / REQUIREMENTS).write_text(text, encoding="utf-8")
    sums[REQUIREMENTS] = sha256(house / REQUIREMENTS)
    lines = "".join(f"{digest}  {name}\n" for name, digest in sums.items())
    (house / SUMS).write_text(lines, encoding="utf-8")
    return len(sums) - 1


def sha256(file: Path) -> str:
    """Of a file, in hexadecimal digits."""
    digest = hashlib.sha256()
    with file.open("rb") as opened:
        while block := opened.read(_BLOCK_BYTES):
            digest.update(block)
    return digest.hexdigest()


def _known(sums: dict[str, str], lock: str) -> Iterator[str]:
    hashes = set(_HASH.findall(lock))
    return (name for name, digest in sums.items() if digest in hashes)


def _line(name: str, digest: str) -> str:
    found = _OURS.fullmatch(name)
    version = found["version"] if found else ""
    return f"dicomnode=={version} --hash=sha256:{digest}"


if __name__ == "__main__":
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "wheelhouse")
    try:
        n_wheels = complete(folder, (ROOT / REQUIREMENTS).read_text("utf-8"))
    except ValueError as error:
        print(f"{folder}: {error}", file=sys.stderr)
        sys.exit(1)
    n_bytes = sum(one.stat().st_size for one in folder.glob("*.whl"))
    print(f"{folder}: {n_wheels} wheels, {n_bytes / 1e9:.2f} GB, {SUMS}")
