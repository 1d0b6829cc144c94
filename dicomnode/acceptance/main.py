"""`dicomnode acceptance`: run the cases, write the report."""

from __future__ import annotations

import getpass
import hashlib
import shutil
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from tempfile import mkdtemp

from rich.console import Console

from dicomnode.acceptance import admission, own_node
from dicomnode.acceptance.bench import Bench
from dicomnode.acceptance.case import Case, Outcome, Verdict, tried
from dicomnode.acceptance.delivering import DELIVERING, TIDYING
from dicomnode.acceptance.pacs import FaultyPacs
from dicomnode.acceptance.phantoms import Phantoms
from dicomnode.acceptance.receiving import RECEIVING
from dicomnode.acceptance.report import Subject, failures, write
from dicomnode.acceptance.wire import Address
from dicomnode.bundles.shelf import DIGEST_LENGTH, digest_of
from dicomnode.config import Config, shown
from dicomnode.demo.program import Program
from dicomnode.errors import ConfigError, DeliveryError
from dicomnode.processes import wiring
from dicomnode.version import VERSION
from dicomnode.worklist import open_views

CASES = (*RECEIVING, *DELIVERING)
_PATIENCE_SECONDS = 120.0


@dataclass(frozen=True, slots=True)
class Order:
    """What the command was asked for.

    ``to``: the address of a node whose worklist is not at hand; then only what can be
    seen on the network is tested. ``own_node``: test a node of the kit's own.
    """

    config: Config
    out: Path
    own_node: bool = False
    to: Address | None = None
    calling: str = admission.CALLING_AE_TITLE
    site: str = ""
    only: tuple[str, ...] = ()


def main(order: Order) -> bool:
    """Run the kit; whether every case that was run has passed.

    Raises ConfigError with the lines to add when the node does not admit it.
    """
    console = Console(soft_wrap=True)
    out = order.out.resolve()
    out.mkdir(parents=True, exist_ok=True)
    cases = _chosen(order.only)
    folder = Path(mkdtemp(prefix="run-", dir=out))
    try:
        with _bench(order, folder, console) as bench:
            outcomes = [_shown(console, tried(one, bench)) for one in cases]
            outcomes += [_shown(console, tried(TIDYING, bench))]
            subject = _subject(order, bench)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    file = write(out, subject, outcomes)
    n_failed = len(failures(outcomes))
    console.print(f"{n_failed} case(s) failed. Research use only.")
    console.print(f"Open {file}", highlight=False)
    return n_failed == 0


def _chosen(only: Sequence[str]) -> list[Case]:
    known = [one.name for one in CASES]
    for name in only:
        if name not in known:
            message = f"there is no case {name!r}; the names are {', '.join(known)}"
            raise ConfigError(message)
    return [one for one in CASES if not only or one.name in only]


def _shown(console: Console, outcome: Outcome) -> Outcome:
    style = {Verdict.PASSED: "green", Verdict.FAILED: "red"}.get(outcome.verdict, "dim")
    words = f"{outcome.verdict:8} {outcome.name:22} {outcome.seen}"
    console.print(words, style=style, markup=False, highlight=False)
    if outcome.remedy:
        console.print(f"         remedy: {outcome.remedy}", markup=False)
    return outcome


@contextmanager
def _bench(order: Order, folder: Path, console: Console) -> Iterator[Bench]:
    phantoms = Phantoms(folder / "sent", datetime.now(UTC))
    with ExitStack() as running:
        if order.to is not None:
            yield _remote(order, order.to, folder, phantoms)
        elif order.own_node:
            yield _own(order, folder, phantoms, running, console)
        else:
            yield _site(order, folder, phantoms, running)


def _remote(order: Order, to: Address, folder: Path, phantoms: Phantoms) -> Bench:
    pacs = FaultyPacs(folder / "pacs", admission.PACS_AE_TITLE, 0)
    return Bench(
        order.config, to, folder, phantoms, pacs, None, _fine, _PATIENCE_SECONDS
    )


def _own(
    order: Order, folder: Path, phantoms: Phantoms, running: ExitStack, console: Console
) -> Bench:
    config = own_node.configured(order.config, folder / "own", order.calling)
    console.print("Starting a node of the kit's own ...")
    node = running.enter_context(own_node.started(config, "run", folder / "own"))
    bench = _local(order, config, folder, phantoms, running, node)
    bench.wait(lambda: _answers(bench), "answer C-ECHO")
    return bench


def _site(order: Order, folder: Path, phantoms: Phantoms, running: ExitStack) -> Bench:
    headers = phantoms.radiograph().header, phantoms.tomograph().header
    admission.check(order.config, order.calling, headers)
    return _local(order, order.config, folder, phantoms, running, None)


def _local(
    order: Order,
    config: Config,
    folder: Path,
    phantoms: Phantoms,
    running: ExitStack,
    node: Program | None,
) -> Bench:
    one = admission.destination(config)
    pacs = FaultyPacs(folder / "pacs", one.ae_title, one.port)
    pacs.start()
    running.callback(pacs.stop)
    wiring.prepare(config, checked=False)
    views = running.enter_context(closing(open_views(config.worklist_url)))
    host, port = admission.listening_host(config), config.receiver.port
    address = Address(config.node.ae_title, host, port, order.calling)
    check = node.check if node else _fine
    patience = _PATIENCE_SECONDS + config.study.quiet_seconds
    patience += sum(config.delivery.retry_seconds[:2])
    return Bench(config, address, folder, phantoms, pacs, views, check, patience)


def _fine() -> None:
    """Nothing to check: the node is not ours."""


def _answers(bench: Bench) -> bool:
    try:
        bench.scanner().echo()
    except DeliveryError:
        return False
    return True


def _subject(order: Order, bench: Bench) -> Subject:
    address, config = bench.address, bench.config
    whose = "a node of the kit's own" if order.own_node else "the site's node"
    return Subject(
        at=datetime.now(UTC),
        site=order.site or order.config.audit.site_id,
        node=f"{address.called}@{address.host}:{address.port}",
        whose=whose,
        version=VERSION,
        configuration=_digest(config),
        bundles=tuple(_bundles(config)),
        tester=getpass.getuser(),
    )


def _digest(config: Config) -> str:
    lines = (f"{one.table}.{one.key} = {one.value}\n" for one in shown(config))
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def _bundles(config: Config) -> Iterator[str]:
    for name in dict.fromkeys(one.bundle for one in config.pipeline):
        folder = wiring.bundle_folder(config, name)
        yield f"{name} sha256 {digest_of(folder)[:DIGEST_LENGTH]}"
