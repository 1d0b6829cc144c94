"""A real worker process with one fault: `-m tests.faults.faulty_worker FAULT CONFIG`.

Nothing else is changed: configuration, database, store, bundle, decoders and results
are the product's.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import time
from pathlib import Path

from dicomnode.config import load
from dicomnode.predictor import BundleNetwork
from dicomnode.processes import work
from dicomnode.worklist.jobs import Jobs

TOO_LONG = 100_000
_finish = Jobs.finish


def killed(*_args, **_options):
    os.kill(os.getpid(), signal.SIGKILL)


def killed_after_commit(*args, **options):
    _finish(*args, **options)
    killed()


def sleeping(*_args):
    time.sleep(TOO_LONG)


def holding_the_interpreter(*_args):
    ctypes.PyDLL(None).sleep(TOO_LONG)


def main(fault: str, config: Path) -> int:
    if fault == "killed in mid-job":
        BundleNetwork.run = killed
    elif fault == "killed before commit":
        Jobs.finish = killed
    elif fault == "killed after commit":
        Jobs.finish = killed_after_commit
    elif fault == "sleeps":
        BundleNetwork.run = sleeping
    elif fault == "holds the interpreter":
        BundleNetwork.run = holding_the_interpreter
        work.watchdog = _impatient
    return work.main(load(config))


def _impatient(_lease_seconds):
    return lambda: work.faulthandler.dump_traceback_later(5, exit=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], Path(sys.argv[2])))
