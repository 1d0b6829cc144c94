"""The page that tells what happened: one file, no network, light or dark."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from dicomnode.demo import timeline
from dicomnode.demo.outcome import Outcome
from dicomnode.demo.study_card import study_card
from dicomnode.results.markup import Html, element, prose
from dicomnode.results.showing import document

_STEPS = (
    "A modality (played by this program) verified the node with C-ECHO and sent every "
    "study by C-STORE, each in its own transfer syntax.",
    "The node kept each instance safely on disk, wrote it into its worklist, and only "
    "then answered Success.",
    "A second after the last image of a study the study was complete; the rules of "
    "the configuration gave it to the pipeline, or said that none wants it.",
    "The worker decoded the images, ran the network and built a Structured Report and "
    "heat maps. What it cannot analyse it reports as not analysed, with the reason.",
    "The results went to the PACS by C-STORE. This page shows them as a workstation "
    "finds them there: by C-FIND, read back from the PACS.",
)
_ADMIT = (
    "Run `dicomnode demo --keep` and the node stays until Ctrl-C. To admit a real "
    "modality and name a real PACS, run `dicomnode init` and put these lines into "
    "`config.toml`, with your own names and addresses:"
)
_ENTER = (
    "On the modality, enter the node as a DICOM storage destination: its AE title "
    "(`node.ae_title`), the address of this machine, and the port `receiver.port`. "
    "Then `dicomnode run`, and watch with `dicomnode tail -f`."
)


@dataclass(frozen=True, slots=True)
class Run:
    """Facts of the whole run; ``started_at`` is aware, ``bundle`` name and version."""

    started_at: datetime
    elapsed_seconds: float
    pacs: str
    node: str
    config_lines: str


def page(outcomes: Sequence[Outcome], run: Run) -> str:
    """The complete HTML document."""
    return document("dicomnode demonstration", _sections(outcomes, run))


def _sections(outcomes: Sequence[Outcome], run: Run) -> list[Html]:
    return [
        element("h1", _headline(outcomes)),
        element("p", _lead(outcomes, run), class_="lead"),
        _tiles(outcomes, run),
        element("h2", "What happened"),
        element("ol", *(element("li", step) for step in _STEPS)),
        element("h2", "The worklist"),
        element("div", timeline.table(outcomes), class_="card"),
        element("h2", "The studies"),
        *map(study_card, outcomes),
        element("h2", "The files beside this page"),
        _files(),
        element("h2", "What next"),
        *_next_steps(run),
    ]


def _headline(outcomes: Sequence[Outcome]) -> str:
    wrong = sum(bool(one.differences) for one in outcomes)
    if wrong:
        return f"{wrong} of {len(outcomes)} studies did not end as expected"
    return f"{len(outcomes)} studies in, every answer as expected"


def _lead(outcomes: Sequence[Outcome], run: Run) -> str:
    devices = [one.report.reading.device for one in outcomes if one.report]
    name = devices[0] if devices else "nobody: no report came back"
    return (
        f"From a modality through the node {run.node} to {run.pacs}, on this machine, "
        f"on {run.started_at:%d %B %Y at %H:%M} UTC. Analysed by {name}. All images "
        f"are computer-generated phantoms; no patient is involved."
    )


def _tiles(outcomes: Sequence[Outcome], run: Run) -> Html:
    n_images = sum(len(one.case.instances) for one in outcomes)
    n_results = sum(len(one.deliveries) for one in outcomes)
    delays = [
        delay.total_seconds()
        for one in outcomes
        if (delay := timeline.times_of(one).report_delay)
    ]
    median = sorted(delays)[len(delays) // 2] if delays else 0.0
    figures = (
        (str(len(outcomes)), "studies sent"),
        (str(n_images), "images kept"),
        (str(n_results), "results delivered to the PACS"),
        (f"{median:.1f} s", "median from study complete to report in the PACS"),
        (f"{run.elapsed_seconds:.0f} s", "for everything, program starts included"),
    )
    tiles = (
        element("div", element("strong", value), element("span", words), class_="tile")
        for value, words in figures
    )
    return element("div", *tiles, class_="tiles")


def _files() -> Html:
    named = (
        ("heatmap.png", "a heat map, from the secondary capture in the PACS"),
        ("result_sr.dcm", "its Structured Report, as the PACS gave it back"),
        (
            "worklist.db",
            "the worklist: `sqlite3 worklist.db 'select * from v1_events'`",
        ),
    )
    items = (
        element("li", element("a", name, href=name), " – ", prose(words))
        for name, words in named
    )
    return element("ul", *items)


def _next_steps(run: Run) -> list[Html]:
    return [
        element("p", prose(_ADMIT)),
        element("pre", run.config_lines),
        element("p", prose(_ENTER)),
    ]
