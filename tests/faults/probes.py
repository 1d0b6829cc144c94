"""Health probes and strangers on the DICOM port, very many: they leave nothing behind.

usage: python -m tests.faults.probes [-n N]

Connections that say nothing, something else, or the start of something, each closed at
once. Afterwards the receiver has as many threads and descriptors as before, hardly more
memory, and has said little. Prints the figures; ends with 1 when it is not so.
"""

from __future__ import annotations

import argparse
import json
import sys
from contextlib import suppress
from itertools import cycle, islice
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter

from tests.faults.raw import connected
from tests.faults.running import Receiver, receiver
from tests.faults.test_receiver_limits import PROBES, echoes, eventually

WARM_UP = 2000
MOST_MIB, MOST_LINES_A_MINUTE = 8.0, 4


def probe(running: Receiver, n_probes: int) -> None:
    """So many, of each kind in turn."""
    for sent in islice(cycle(PROBES.values()), n_probes):
        with connected(running.port) as connection, suppress(OSError):
            connection.sendall(sent)


def main() -> int:
    """Probe, and print what is left."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults.probes")
    parser.add_argument("-n", type=int, default=2000)
    given = parser.parse_args()
    with TemporaryDirectory() as folder, receiver(Path(folder)) as running:
        # What a busy receiver has once, however long it runs.
        probe(running, WARM_UP)
        assert echoes(running.port)
        threads, descriptors = running.n_threads, running.n_descriptors
        memory, began = running.memory_kib, perf_counter()
        probe(running, given.n)
        minutes = (perf_counter() - began) / 60
        assert echoes(running.port)
        is_clean = eventually(
            lambda: (
                running.n_threads <= threads + 1
                and running.n_descriptors <= descriptors
            )
        )
        mib = (running.memory_kib - memory) / 1024
        lines = len(running.events("receiver.turned_away"))
    found = {"probes": given.n, "minutes": round(minutes, 2), "clean": is_clean}
    print(json.dumps({**found, "mib": round(mib, 2), "lines": lines}))
    is_quiet = lines <= MOST_LINES_A_MINUTE * (minutes + 2)
    return 0 if is_clean and is_quiet and mib < MOST_MIB else 1


if __name__ == "__main__":
    sys.exit(main())
