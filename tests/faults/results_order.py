"""The order of system calls behind a job and a delivery, from traces of both roles.

`python -m tests.faults.results_order`: before a job is COMPLETED each of its results
must be a synced file with a synced name; before a delivery is SENT the destination must
have answered Success; and both states must be synced.
"""

from __future__ import annotations

import json
import random
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.faults import tracing
from tests.faults.chain import Chain, StoreScp, until
from tests.faults.everycall import Working, be_quiet
from tests.faults.roles import fork_server


def is_kept(work: Sequence[tracing.Call], study: str, uid: str) -> bool:
    """Whether a result was durable before the worklist's log heard of it."""
    steps = (
        tracing.synced(f"/{tracing.staged(work, uid)}>"),
        tracing.renamed(f"{uid}.", ".dcm"),
        tracing.synced_folder(study),
        tracing.logged("COMPLETED"),
        tracing.synced("-wal>"),
    )
    found = tracing.chain(work, steps)
    first = tracing.chain(work, (tracing.logged("COMPLETED"),))
    return len(found) == len(steps) and found[3:4] == first


def is_sent(deliver: Sequence[tracing.Call], uid: str) -> bool:
    """Whether the destination had answered before the worklist's log said SENT."""
    steps = (
        lambda call: call.name == "sendto" and uid in call.text,
        tracing.store_answer("recvfrom", uid),
        tracing.logged("SENT"),
        tracing.synced("-wal>"),
    )
    return len(tracing.chain(deliver, steps)) == len(steps)


def nothing_sent_unanswered(deliver: Sequence[tracing.Call], uids: list[str]) -> bool:
    """Whether the first SENT came after the first answer."""
    (first,) = tracing.chain(deliver, (tracing.logged("SENT"),))
    answers = [
        tracing.chain(deliver, (tracing.store_answer("recvfrom", uid),)) for uid in uids
    ]
    return first.began > min(answer[0].ended for answer in answers)


def measure(folder: Path, stack: ExitStack) -> dict[str, object]:
    """Analyse and deliver one study under strace."""
    pacs = stack.enter_context(StoreScp(folder))
    chain = Chain(folder / "node", pacs.port, ("work", "deliver"))
    stack.callback(chain.close)
    job = Working(chain, folder, random.Random(1))
    with ExitStack() as traces:
        for name, role in chain.roles.items():
            chain.revive(name)
            traces.enter_context(tracing.traced(role.pid, folder / name))
        job.act()
        until(lambda: chain.settled({job.study}), "the deliveries")
    found = {name: tracing.calls(folder / name) for name in chain.roles}
    sent = chain.deliveries(chain.rows({job.study}))
    uids = [str(one["sop_instance_uid"]) for one in sent]
    return {
        "results": len(uids),
        "kept": sum(is_kept(found["work"], job.study, uid) for uid in uids),
        "sent": sum(is_sent(found["deliver"], uid) for uid in uids),
        "nothing_sent_unanswered": nothing_sent_unanswered(found["deliver"], uids),
    }


def main() -> int:
    fork_server(("work", "deliver"))
    be_quiet()
    with TemporaryDirectory(prefix="order-") as name, ExitStack() as stack:
        figures = measure(Path(name), stack)
    print(json.dumps(figures))
    well = figures["kept"] == figures["sent"] == figures["results"]
    return 0 if well and figures["nothing_sent_unanswered"] else 1


if __name__ == "__main__":
    sys.exit(main())
