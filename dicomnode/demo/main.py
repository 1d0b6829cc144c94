"""`dicomnode demo`: modality, node and PACS on this machine, from end to end."""

from __future__ import annotations

import shutil
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from tempfile import mkdtemp
from time import monotonic
from types import FrameType

from rich.console import Console

from dicomnode.demo import keepsakes, stage
from dicomnode.demo.cases import Case, make_cases
from dicomnode.demo.diagnosis import check_roles
from dicomnode.demo.failure import DemoFailed
from dicomnode.demo.live import Progress, is_settled
from dicomnode.demo.outcome import Outcome, collect, row_of
from dicomnode.demo.pacs import Pacs
from dicomnode.demo.program import Program, wait_until
from dicomnode.demo.report import Run
from dicomnode.demo.sender import Modality
from dicomnode.demo.settings import MODALITY, NODE, Place, lines_to_copy
from dicomnode.errors import DicomNodeError
from dicomnode.worklist import Views, open_views

_PATIENCE_SECONDS = 180.0
_NEXT = """Beside it: heatmap.png, result_sr.dcm, worklist.db
Next: `dicomnode demo --keep` leaves it running, with its pages;
`dicomnode init` begins a node of your own"""
_REMEDY = (
    "The report says what differs, and node.log in the run-* folder beside it why; "
    "correct the cause and run the demo again."
)


def main(out: Path, pacs: str = "embedded", keep: bool = False) -> int:
    """Run the demonstration; its files are left in ``out``.

    ``pacs`` is embedded or orthanc. ``keep`` leaves node and PACS running until
    Ctrl-C. Returns the exit code: 0, or 1 when anything was not as it must be.
    """
    console = Console(soft_wrap=True)
    try:
        with _sigterm_like_ctrl_c():
            return _demonstrate(out.resolve(), pacs, keep, console)
    except DicomNodeError as error:
        console.print(f"The demo failed: {error}", style="red", markup=False)
    except KeyboardInterrupt:
        console.print("Stopped; everything that the demo started has ended.")
    return 1


def _demonstrate(out: Path, kind: str, keep: bool, console: Console) -> int:
    out.mkdir(parents=True, exist_ok=True)
    place = stage.new_place(Path(mkdtemp(prefix="run-", dir=out)))
    with ExitStack() as running:
        began, now = monotonic(), datetime.now(UTC)
        pacs = running.enter_context(stage.open_pacs(kind, place))
        node = running.enter_context(stage.open_node(place, pacs))
        outcomes = _one_run(console, place, pacs, node, now)
        run = Run(now, monotonic() - began, pacs.ae_title, NODE, lines_to_copy(pacs))
        keepsakes.leave(out, place, outcomes, run)
        code = _summary(console, out, outcomes, run)
        if not keep and not code:
            console.print(_NEXT, highlight=False, markup=False)
        if keep:
            _stay(console, place, pacs, node)
    if code == 0:
        shutil.rmtree(place.folder)
    return code


def _one_run(
    console: Console, place: Place, pacs: Pacs, node: Program, now: datetime
) -> list[Outcome]:
    console.print("Starting the node, and making phantom radiographs meanwhile ...")
    cases = make_cases(place.sent, now)
    modality = Modality(MODALITY, NODE, place.port)
    _wait(modality.answers, node, "answer C-ECHO")
    with closing(open_views(place.worklist_url)) as views:
        _wait(lambda: bool(views.workers()), node, "load the network")
        n_images = sum(len(case.instances) for case in cases)
        console.print(f"Sending {len(cases)} studies with {n_images} images ...")
        modality.send(cases)
        _watch(console, views, node, cases)
        rows = views.worklist(), views.deliveries()
    return [collect(case, rows, pacs, MODALITY) for case in cases]


def _watch(
    console: Console, views: Views, node: Program, cases: Sequence[Case]
) -> None:
    """Show the worklist until nothing moves any more."""
    with Progress(console, cases) as progress:

        def settled() -> bool:
            rows, deliveries = views.worklist(), views.deliveries()
            progress.show(rows, deliveries)
            return all(is_settled(row_of(one, rows), deliveries) for one in cases)

        _wait(settled, node, "deliver every result")


def _wait(done: Callable[[], bool], node: Program, deed: str) -> None:
    if not wait_until(done, lambda: _check(node), _PATIENCE_SECONDS):
        raise DemoFailed(
            f"the node did not {deed} in {_PATIENCE_SECONDS:.0f} s; read {node.log}, "
            f"then try again, on an idle machine"
        )


def _check(node: Program) -> None:
    node.check()
    check_roles(node.log)


def _summary(console: Console, out: Path, outcomes: Sequence[Outcome], run: Run) -> int:
    wrong = [one for one in outcomes if one.differences]
    for one in wrong:
        words = "; ".join(one.differences)
        console.print(f"  {one.case.title}: {words}", style="red", markup=False)
    n_good = len(outcomes) - len(wrong)
    console.print(
        f"{n_good} of {len(outcomes)} studies ended as expected, "
        f"in {run.elapsed_seconds:.1f} s. Research use only."
    )
    console.print(f"Open {out / 'report.html'}", highlight=False)
    if not wrong:
        return 0
    console.print(_REMEDY)
    return 1


def _stay(console: Console, place: Place, pacs: Pacs, node: Program) -> None:
    console.print(stage.invitation(place, pacs), highlight=False, markup=False)
    try:
        while True:
            _check(node)
            threading.Event().wait(0.5)
    except KeyboardInterrupt:
        console.print("Ending the node and the PACS ...")


@contextmanager
def _sigterm_like_ctrl_c() -> Iterator[None]:
    """Let SIGTERM end the demonstration in order, where signals can be had."""

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
