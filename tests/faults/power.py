"""Power loss while DCMTK sends: `python -m tests.faults.power --cycles N --seed S`.

Store and database lie on two ext4 file systems in two loop devices, so that neither's
journal saves the other. At a random instant both are shut down by the FS_IOC_SHUTDOWN
ioctl without flushing the log: what was not synced by then is gone, as when the plug is
pulled. Then they are mounted again, and everything that was answered Success must be
there, byte for byte, with its row. Needs root; works in a mount namespace of its own.

`--without file|folder|wal` leaves one sync out: the harness must find instances lost.
"""

from __future__ import annotations

import argparse
import fcntl
import json
import os
import random
import sqlite3
import subprocess
import sys
import threading
from contextlib import closing
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory
from time import sleep

from dicomnode.demo.program import free_port
from tests.faults.modality import AE_TITLE, Sample, made, send
from tests.faults.roles import Role, fork_server
from tests.integration.rig import data_set

FS_IOC_SHUTDOWN = 0x8004587D
NO_LOG_FLUSH = 2
IMAGE_BYTES = 48 << 20
CYCLES_PER_DISK = 40
PROOF_CYCLES = 30
_TOLD_EVERY = 50
"""Of a product without one of its syncs: long before, something is lost."""

SENDERS = 2
BATCH = 20
LONGEST_SECONDS = 0.8

CONFIG = """
[node]
data_dir = "{rows}"

[store]
url = "{files}/instances"
watermark_percent = 100

[receiver]
host = "127.0.0.1"
port = {port}

[[peer]]
ae_title = "{peer}"
hosts = ["127.0.0.1"]
"""


@dataclass
class Figures:
    """What a run has seen."""

    cycles: int = 0
    acknowledged: int = 0
    lost: int = 0
    wrong: int = 0
    rows_without_file: int = 0

    @property
    def violations(self) -> int:
        """0 in a run of the real product."""
        return self.lost + self.wrong + self.rows_without_file


class Disk:
    """An ext4 file system of its own, whose power can fail."""

    def __init__(self, folder: Path, name: str) -> None:
        self._image = folder / f"{name}.img"
        self.mounted_at = folder / name
        self.mounted_at.mkdir()
        self.renew()

    def renew(self) -> None:
        """An empty file system."""
        with self._image.open("wb") as image:
            image.truncate(IMAGE_BYTES)
        options = ["-E", "lazy_itable_init=0,lazy_journal_init=0"]
        _do("mkfs.ext4", "-q", "-F", *options, str(self._image))
        self.mount()

    def mount(self) -> None:
        """Mount it, which replays what its journal has."""
        # Nothing is written back by itself within a cycle: only syncs count.
        options = "loop,commit=300,noatime"
        _do("mount", "-o", options, str(self._image), str(self.mounted_at))

    def lose_power(self) -> None:
        """From now on nothing reaches it; what was not synced is lost."""
        folder = os.open(self.mounted_at, os.O_RDONLY)
        try:
            flags = NO_LOG_FLUSH.to_bytes(4, sys.byteorder)
            fcntl.ioctl(folder, FS_IOC_SHUTDOWN, flags)
        finally:
            os.close(folder)

    def unmount(self) -> None:
        """Take it out."""
        _do("umount", str(self.mounted_at))


class Bench:
    """A receiver on two disks, modalities, and what they were told."""

    def __init__(self, folder: Path, seed: int, without: str) -> None:
        self._rng = random.Random(seed)
        self._outbox = folder / "modality"
        self._outbox.mkdir()
        self.files, self.rows = Disk(folder, "files"), Disk(folder, "rows")
        self._port = free_port()
        config = folder / "config.toml"
        places = {"files": self.files.mounted_at, "rows": self.rows.mounted_at}
        config.write_text(CONFIG.format(**places, port=self._port, peer=AE_TITLE))
        self._role = Role("receive", config, folder / "receive.log", without)
        self._acknowledged: list[Sample] = []
        self._study = ""
        self._n_told = 0
        self.figures = Figures()

    def cycle(self) -> None:
        """Start, send, lose the power at some instant, look what is there."""
        if self.figures.cycles % CYCLES_PER_DISK == CYCLES_PER_DISK - 1:
            self._renew()
        self._role.start()
        self._role.listening(self._port)
        self._n_told = self._n_stored()
        self._send_and_lose_power()
        for disk in (self.files, self.rows):
            disk.unmount()
            disk.mount()
        self.figures.cycles += 1
        self._look()

    def _send_and_lose_power(self) -> None:
        batches = [self._batch() for _ in range(SENDERS)]
        threads = [threading.Thread(target=self._send, args=(one,)) for one in batches]
        for thread in threads:
            thread.start()
        if self._rng.random() < 0.8:
            self._one_is_stored()
        sleep(self._rng.uniform(0, LONGEST_SECONDS))
        self.files.lose_power()
        self.rows.lose_power()
        self._role.kill()
        for thread in threads:
            thread.join()
        for batch in batches:
            for one in batch:
                one.path.unlink()

    def _one_is_stored(self) -> None:
        while self._role.is_running and self._n_stored() <= self._n_told:
            sleep(0.005)

    def _n_stored(self) -> int:
        return len(self._role.said("receiver.c_store"))

    def _send(self, batch: list[Sample]) -> None:
        answered = send(self._port, batch)
        self._acknowledged += answered
        self.figures.acknowledged += len(answered)

    def _batch(self) -> list[Sample]:
        grown = self._study if self._rng.random() < 0.5 else ""
        samples = [made(self._outbox, self._rng, grown) for _ in range(BATCH)]
        self._study = samples[0].study_instance_uid
        return samples

    def _look(self) -> None:
        found = self._recorded()
        for one in self._acknowledged:
            content = found.get(one.sop_instance_uid)
            self.figures.lost += content is None
            self.figures.wrong += content not in (None, one.sha256)

    def _recorded(self) -> dict[str, str]:
        """SOP Instance UID -> sha256 of the file, of every row that has its file."""
        found: dict[str, str] = {}
        query = "SELECT sop_instance_uid, location, sha256 FROM instances"
        database = self.rows.mounted_at / "worklist.db"
        with closing(sqlite3.connect(database)) as connection:
            rows = connection.execute(query).fetchall()
        for uid, location, told in rows:
            path = self.files.mounted_at / "instances" / location
            content = _content(path)
            if content == told:
                found[uid] = content
            else:
                self.figures.rows_without_file += 1
        return found

    def _renew(self) -> None:
        for disk in (self.files, self.rows):
            disk.unmount()
            disk.renew()
        self._acknowledged.clear()

    def close(self) -> None:
        """Take the disks out."""
        self._role.kill()
        for disk in (self.files, self.rows):
            disk.unmount()


def _content(path: Path) -> str | None:
    try:
        return sha256(data_set(path)).hexdigest()
    except (OSError, IndexError):
        return None


def _do(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True)


def measure(cycles: int, seed: int, without: str = "") -> Figures:
    """Run so many cycles; stops at the first that loses something."""
    with TemporaryDirectory(prefix="power-") as folder:
        bench = Bench(Path(folder), seed, without)
        try:
            while bench.figures.cycles < cycles:
                bench.cycle()
                if bench.figures.violations:
                    break
                if bench.figures.cycles % _TOLD_EVERY == 0:
                    print(
                        json.dumps(asdict(bench.figures)), file=sys.stderr, flush=True
                    )
        finally:
            bench.close()
    return bench.figures


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.faults.power")
    parser.add_argument("--cycles", type=int, default=15)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--without", choices=["", "file", "folder", "wal"], default="")
    parser.add_argument("--proof", action="store_true", help="leave each sync out too")
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if not given.inside:
        # What is mounted from here on is seen by nobody else and ends with us.
        own = ["unshare", "--mount", "--propagation", "private", sys.executable]
        own += ["-m", "tests.faults.power", *sys.argv[1:], "--inside"]
        return subprocess.run(own).returncode
    fork_server(("receive",))
    figures = measure(given.cycles, given.seed, given.without)
    print(json.dumps(asdict(figures)))
    if given.proof:
        for one in ("file", "folder", "wal"):
            lossy = asdict(measure(PROOF_CYCLES, given.seed, one))
            print(json.dumps({"without": one} | lossy))
    return 0 if figures.acknowledged and not figures.violations else 1


if __name__ == "__main__":
    sys.exit(main())
