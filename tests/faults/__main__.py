"""Break things for hours: `python -m tests.faults [--full] [NAME ...]`.

Each of the programs runs by itself too, with options of its own. The short sizes take
minutes. Ends with 1 when one of them found something lost, doubled or left over.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from time import monotonic


@dataclass(frozen=True)
class Harness:
    """A module with its options, and those of either size.

    One of this folder, or of another by its whole name; a program that Python runs.
    """

    module: str
    options: tuple[str, ...]
    short: tuple[str, ...]
    full: tuple[str, ...]

    @property
    def whole_name(self) -> str:
        """As Python's ``-m`` wants it."""
        is_ours = (Path(__file__).parent / f"{self.module}.py").is_file()
        return f"tests.faults.{self.module}" if is_ours else self.module


def _tests(*paths: str) -> Harness:
    return Harness("pytest", ("-q", "-n", "0", *paths), (), ())


def _every_call(path: str, how: str, calls: str) -> Harness:
    options = (path, "--how", how)
    return Harness("everycall", options, ("--most", "2"), ("--calls", calls))


HARNESSES = {
    "syncs": Harness("syncs", ("--proof",), ("-n", "20"), ("-n", "1000")),
    "results-order": Harness("results_order", (), (), ()),
    "power": Harness("power", ("--proof",), ("--cycles", "20"), ("--cycles", "10000")),
    "crash": Harness("crash", (), ("--cycles", "20"), ("--cycles", "10000")),
    "kill-store": _every_call("store", "KILL", "every"),
    "kill-study": _every_call("study", "KILL", "disk"),
    "kill-job": _every_call("job", "KILL", "disk"),
    "kill-delivery": _every_call("delivery", "KILL", "every"),
    "fail-store": _every_call("store", "EIO,ENOSPC,EMFILE", "disk"),
    "fail-job": _every_call("job", "EIO,ENOSPC,EMFILE", "disk"),
    "fail-delivery": _every_call("delivery", "EIO,ENOSPC,EMFILE", "disk"),
    "fuzz": Harness(
        "fuzz",
        (),
        ("--data-sets", "5000", "--pdus", "5000"),
        ("--data-sets", "1000000", "--pdus", "1000000"),
    ),
    "attack": Harness("attack", (), (), ("--full",)),
    "probes": Harness("probes", (), ("-n", "2000"), ("-n", "100000")),
    "pdus": Harness("pdus", (), ("--few",), ()),
    "large": Harness(
        "test_receiving", (), ("--mebibytes", "200", "--instances", "2000"), ()
    ),
    "malformed": Harness("malformed", (), ("--files", "118"), ("--files", "1700")),
    "identical": _tests("tests/integration/test_receive_files.py"),
    "names": _tests(
        "tests/faults/test_names_in_logs.py", "tests/faults/test_hostile.py"
    ),
    "bundles": Harness("tampering", (), (), ("--full",)),
    "drill": Harness("drill", (), ("--instances", "2000"), ("--instances", "100000")),
    "years": Harness("tests.bench", ("worklist",), (), ("--full",)),
    "soak": Harness("tests.bench", ("soak",), ("--minutes", "5"), ("--minutes", "360")),
    "sources": _tests("tests/architecture"),
    "fulldisk": Harness("fulldisk", (), (), ()),
    "hosts": Harness("hosts", (), (), ("--rounds", "20")),
    "hosts-spool": Harness("hosts", ("--spool",), (), ("--rounds", "20")),
    "day": Harness("day", (), ("--reports", "200"), ("--reports", "10000")),
}


def run(name: str, *, full: bool) -> bool:
    """Run one to its end; whether it found nothing."""
    harness = HARNESSES[name]
    size = harness.full if full else harness.short
    words = [harness.whole_name, *harness.options, *size]
    print(f"== {name}: python -m {' '.join(words)}", flush=True)
    began = monotonic()
    status = subprocess.run([sys.executable, "-m", *words]).returncode
    end = "ok" if status == 0 else f"FAILED ({status})"
    print(f"== {name}: {end} after {monotonic() - began:.0f} s", flush=True)
    return status == 0


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("name", nargs="*", help=f"any of {', '.join(HARNESSES)}")
    parser.add_argument("--full", action="store_true", help="hours instead of minutes")
    given = parser.parse_args()
    ends = [run(name, full=given.full) for name in given.name or HARNESSES]
    return 0 if all(ends) else 1


if __name__ == "__main__":
    sys.exit(main())
