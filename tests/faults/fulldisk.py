"""Full disks that are real: `python -m tests.faults.fulldisk`, as root.

Store and database lie on two small tmpfs in a mount namespace of our own. Prints what
C-STOREs are answered before, while and after there is no room.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from dicomnode.demo.program import free_port, wait_until
from tests.faults.modality import AE_TITLE, made, statuses
from tests.faults.power import CONFIG
from tests.faults.roles import HANG_SECONDS, Role, fork_server

STORE_BYTES = 1 << 20
ROWS_BYTES = 8 << 20
_BLOCK = bytes(4096)


@contextmanager
def disk(at: Path, n_bytes: int) -> Iterator[Path]:
    """A disk of this size."""
    at.mkdir()
    subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={n_bytes}", "none", str(at)], check=True
    )
    try:
        yield at
    finally:
        subprocess.run(["umount", str(at)], check=True)


@contextmanager
def filled(at: Path) -> Iterator[None]:
    """No room is left on it."""
    filler = at / "filler"
    with filler.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(_BLOCK)
        except OSError:
            pass
    try:
        yield
    finally:
        filler.unlink()


class Receiver:
    """A receiver on the two disks."""

    def __init__(self, folder: Path, files: Path, rows: Path) -> None:
        self._folder, self._rng = folder, random.Random(1)
        self._files, self._port = files, free_port()
        config = folder / "config.toml"
        text = CONFIG.format(files=files, rows=rows, port=self._port, peer=AE_TITLE)
        config.write_text(text)
        self.role = Role("receive", config, folder / "receive.log")
        self.start()

    def start(self) -> None:
        self.role.start()
        self.role.listening(self._port)

    def answers(self, n_bytes: int) -> str:
        """The status of one instance of this size."""
        (status,) = statuses(self._port, [made(self._folder, self._rng, "", n_bytes)])
        return f"0x{status:04X}"

    def answers_well(self) -> bool:
        """Whether one instance is taken, by a new process if the old one has ended."""
        if not self.role.is_running:
            self.start()
        return self.answers(100) == "0x0000"

    def unfinished(self) -> int:
        """How many unfinished files the store holds."""
        return sum(1 for _ in self._files.rglob("*.part"))


def measure() -> dict[str, object]:
    """Run it."""
    with TemporaryDirectory(prefix="fulldisk-") as name, ExitStack() as stack:
        folder = Path(name)
        files = stack.enter_context(disk(folder / "files", STORE_BYTES))
        rows = stack.enter_context(disk(folder / "rows", ROWS_BYTES))
        receiver = Receiver(folder, files, rows)
        stack.callback(receiver.role.kill)
        pid = receiver.role.pid
        seen: dict[str, object] = {"room": receiver.answers(1000)}
        seen["too_large"] = receiver.answers(STORE_BYTES)
        seen["room_again"] = receiver.answers(1000)
        with filled(files):
            seen["store_full"] = receiver.answers(10_000)
        seen["unfinished"] = receiver.unfinished()
        seen["store_has_room"] = receiver.answers(1000)
        seen["same_process"] = receiver.role.pid == pid and receiver.role.is_running
        with filled(rows):
            seen["database_full"] = receiver.answers(1000)
        recovers = wait_until(receiver.answers_well, lambda: None, HANG_SECONDS)
        seen["database_has_room"] = recovers
        return seen


def main() -> int:
    if sys.argv[1:] != ["--inside"]:
        own = ["unshare", "--mount", "--propagation", "private", sys.executable]
        own += ["-m", "tests.faults.fulldisk", "--inside"]
        return subprocess.run(own, env=os.environ).returncode
    fork_server(("receive",))
    print(json.dumps(measure()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
