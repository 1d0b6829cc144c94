"""`python -m tests.bench copy`: a worklist moves to PostgreSQL, and back again."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from time import monotonic

from dicomnode.worklist import copy
from tests.bench.servers import postgresql, sqlite
from tests.bench.worklist.filling import Size, fill


def main(words: Sequence[str] = ()) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.bench copy")
    parser.add_argument("--instances", type=int, default=100_000)
    parser.add_argument("--per-study", type=int, default=10)
    given = parser.parse_args(words)
    size = Size(given.instances // given.per_study, given.instances)
    with sqlite() as first, postgresql() as middle, sqlite("back.db") as last:
        fill(first, size)
        began = monotonic()
        there = copy(first, middle)
        between = monotonic()
        back = copy(middle, last)
        ended = monotonic()
    figures = {
        "rows": {one.table: one.n_rows for one in there},
        "SQLite to PostgreSQL, s": round(between - began, 1),
        "PostgreSQL to SQLite, s": round(ended - between, 1),
        "the same rows by count and SHA-256": there == back,
    }
    print(json.dumps({"copy": figures}, indent=1))
    return 0 if there == back else 1
