"""Side by side measurements: `python -m tests.bench [startup|node|model] ...`.

Machines differ and are noisy: read ratios and medians, not absolutes.
"""

from __future__ import annotations

import argparse
import json

from tests.bench import latency, model, startup

BENCHES = {
    "startup": startup.measure,
    "node": latency.measure,
    "model": model.measure,
}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("bench", nargs="*", help=f"any of {', '.join(BENCHES)}")
    parser.add_argument("--repeat", type=int, default=10, help="runs of each")
    parser.add_argument("--json", action="store_true", help="one object for each bench")
    given = parser.parse_args()
    for name in given.bench or BENCHES:
        figures = BENCHES[name](given.repeat)
        print(json.dumps({name: figures}) if given.json else table(name, figures))


def table(name: str, figures: dict[str, object]) -> str:
    width = max(map(len, figures))
    lines = [f"{key:<{width}}  {value}" for key, value in figures.items()]
    return "\n".join([f"== {name}", *lines])


if __name__ == "__main__":
    main()
