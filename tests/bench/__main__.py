"""Side by side measurements: `python -m tests.bench [startup|node|worker|...] ...`.

Machines differ and are noisy: read ratios and medians, not absolutes. A bench with
options of its own is named first: `python -m tests.bench ingest --help`.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence

from tests.bench import (
    claims,
    copying,
    cost,
    latency,
    model,
    scaling,
    soak,
    startup,
    throughput,
    training,
    ways,
    worker,
)
from tests.bench.device import running as device
from tests.bench.ingest import running as ingest
from tests.bench.worklist import measuring as worklist

BENCHES = {
    "startup": startup.measure,
    "node": latency.measure,
    "positive": latency.measure_positive,
    "worker": worker.measure,
    "model": model.measure,
    "training": training.measure,
}
PROGRAMS: dict[str, Callable[[Sequence[str]], int]] = {
    "ingest": ingest.main,
    "worklist": worklist.main,
    "soak": soak.main,
    "claims": claims.main,
    "copy": copying.main,
    "cost": cost.main,
    "device": device.main,
    "scaling": scaling.main,
    "throughput": throughput.main,
    "ways": ways.main,
}
"""Benches that read their own command line; without a name the first two run too."""


def main() -> int:
    if sys.argv[1:2] and sys.argv[1] in PROGRAMS:
        return PROGRAMS[sys.argv[1]](sys.argv[2:])
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    names = ", ".join((*BENCHES, *PROGRAMS))
    parser.add_argument("bench", nargs="*", help=f"any of {names}")
    parser.add_argument("--repeat", type=int, default=10, help="runs of each")
    parser.add_argument("--json", action="store_true", help="one object for each bench")
    given = parser.parse_args()
    for name in [one for one in given.bench or BENCHES if one in BENCHES]:
        figures = BENCHES[name](given.repeat)
        print(json.dumps({name: figures}) if given.json else table(name, figures))
    # An hour of soak only for whoever asks for it.
    others = [one for one in given.bench or ("ingest", "worklist") if one in PROGRAMS]
    return max((PROGRAMS[name](()) for name in others), default=0)


def table(name: str, figures: dict[str, object]) -> str:
    width = max(map(len, figures))
    lines = [f"{key:<{width}}  {value}" for key, value in figures.items()]
    return "\n".join([f"== {name}", *lines])


if __name__ == "__main__":
    sys.exit(main())
