"""Large buffers go back to the system when they are freed."""

from __future__ import annotations

import subprocess
import sys

PROGRAM = """
import sys
from pathlib import Path
from threading import Thread
from dicomnode.processes.memory import return_large_buffers

def resident_bytes():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096

def use():
    for _ in range(3):
        bytearray(16 << 20)

if not return_large_buffers() or not sys.platform.startswith("linux"):
    sys.exit(0)
before = resident_bytes()
for _ in range(8):
    thread = Thread(target=use)
    thread.start()
    thread.join()
sys.exit(resident_bytes() - before > 8 << 20)
"""


def test_what_threads_needed_for_a_moment_is_not_kept() -> None:
    assert subprocess.run([sys.executable, "-c", PROGRAM], timeout=300).returncode == 0


LEFT = """
import gc, sys, weakref
from dicomnode.processes.memory import leave_in_peace

class Node:
    pass

def ring():
    one, other = Node(), Node()
    one.next, other.next = other, one
    return weakref.ref(one)

gc.disable()
before = ring()
leave_in_peace()
if not gc.get_freeze_count():
    sys.exit("nothing is left in peace")
gc.collect()
if before() is None:
    sys.exit("what was there was looked through")
leave_in_peace()
if before() is not None:
    sys.exit("what nobody has any more is kept for ever")
after = ring()
gc.collect()
sys.exit(after() is not None)
"""


def test_what_is_there_is_looked_through_once_more_after_a_reload() -> None:
    ended = subprocess.run(
        [sys.executable, "-c", LEFT], timeout=300, capture_output=True, text=True
    )
    assert ended.returncode == 0, ended.stderr
