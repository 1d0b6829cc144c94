"""The order of system calls before each answer: `python -m tests.faults.syncs -n 1000`.

Traces a running receiver with strace while several DCMTK senders store at once, and
proves for each C-STORE-RSP with Success that the file was synced, got its name, its
folder was synced and the row's log was written and synced before it was sent.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory

from dicomnode.demo.program import free_port
from tests.faults import tracing
from tests.faults.modality import AE_TITLE, Sample, made, send
from tests.faults.roles import Role, fork_server

SENDERS = 4
CONFIG = """
[node]
data_dir = "var"

[store]
watermark_percent = 100

[receiver]
host = "127.0.0.1"
port = {port}

[[peer]]
ae_title = "{peer}"
hosts = ["127.0.0.1"]
"""


def receiver(folder: Path, without: str = "") -> tuple[Role, int]:
    """A receiver that is not yet started, in a folder of its own, and its port."""
    port = free_port()
    config = folder / "config.toml"
    config.write_text(CONFIG.format(port=port, peer=AE_TITLE))
    return Role("receive", config, folder / "receive.log", without), port


def proof(found: Sequence[tracing.Call], one: Sample) -> list[tracing.Call]:
    """The calls that made ``one`` durable and then answered it; 6 when in order."""
    uid = one.sop_instance_uid
    return tracing.chain(
        found,
        (
            tracing.synced(f"/{tracing.staged(found, uid)}>"),
            tracing.renamed(f"{uid}.", ".dcm"),
            tracing.synced_folder(one.study_instance_uid),
            tracing.logged(),
            tracing.synced("-wal>"),
            tracing.store_answer("sendto", uid),
        ),
    )


def is_durable(found: Sequence[tracing.Call], one: Sample) -> bool:
    """Whether the first Success for ``one`` came after all its syncs."""
    told = tracing.chain(found, (tracing.store_answer("sendto", one.sop_instance_uid),))
    return len(told) == 1 and proof(found, one)[-1:] == told


def measure(count: int, seed: int, without: str = "") -> dict[str, int]:
    """Store ``count`` instances under strace; how many were durable when answered."""
    rng = random.Random(seed)
    with TemporaryDirectory(prefix="syncs-") as name:
        folder = Path(name)
        role, port = receiver(folder, without)
        shared = made(folder, rng)
        samples = [
            made(folder, rng, shared.study_instance_uid if rng.random() < 0.5 else "")
            for _ in range(count)
        ]
        role.start()
        role.listening(port)
        # The first commit begins the log anew and syncs its head in any case.
        send(port, [made(folder, rng)])
        with tracing.traced(role.pid, folder / "trace"):
            groups = [samples[number::SENDERS] for number in range(SENDERS)]
            with ThreadPoolExecutor(SENDERS) as pool:
                answers = pool.map(
                    lambda group: send(port, group), filter(None, groups)
                )
                told = [one for group in answers for one in group]
        role.terminate()
        found = tracing.calls(folder / "trace")
    durable = sum(is_durable(found, one) for one in told)
    return {"sent": count, "acknowledged": len(told), "durable": durable}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.faults.syncs")
    parser.add_argument("-n", type=int, default=20, help="C-STOREs")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--without", choices=["", "file", "folder", "wal"], default="")
    parser.add_argument("--proof", action="store_true", help="leave each sync out too")
    given = parser.parse_args()
    fork_server(("receive",))
    figures = measure(given.n, given.seed, given.without)
    print(json.dumps(figures))
    if given.proof:
        for one in ("file", "folder", "wal"):
            print(json.dumps({"without": one} | measure(4, given.seed, one)))
    return 0 if figures["durable"] == figures["acknowledged"] > 0 else 1


if __name__ == "__main__":
    sys.exit(main())
