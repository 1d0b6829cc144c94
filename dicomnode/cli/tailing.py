"""The command `tail`: the changes of the worklist, as they come."""

# ruff: noqa: PLC0415 - the audit trail only where identity is shown

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from threading import Event
from typing import TYPE_CHECKING, Annotated

import typer

from dicomnode.cli import feed, lines, printing
from dicomnode.cli.command import AsJson, Given, command
from dicomnode.cli.feed import Record
from dicomnode.cli.reading import Ae, Since, State, opened_views
from dicomnode.views import Views

if TYPE_CHECKING:
    from dicomnode.config import Config

POLL_SECONDS = 0.5
_MOST_KNOWN = 1000

Follow = Annotated[bool, typer.Option("-f", "--follow", help="Go on as it grows.")]
Number = Annotated[int, typer.Option("-n", min=0, help="How many of the last.")]
Phi = Annotated[
    bool,
    typer.Option("--phi", help="Show name and id of the patient; noted in the audit."),
]


def add_to(app: typer.Typer) -> None:
    """Register tail."""
    command(app, "tail")(tail)


def tail(  # noqa: PLR0913 - a command has as many parameters as options
    given: Given,
    *,
    follow: Follow = False,
    number: Number = 20,
    since: Since = None,
    state: State = None,
    ae: Ae = None,
    phi: Phi = False,
    as_json: AsJson = False,
) -> None:
    """Print the last changes of the worklist, with -f the next ones too."""
    config = given.load()
    with opened_views(config) as views, _identities(config, views, phi) as identity_of:
        studies = _Studies(views)
        wanted = _filter(studies, state, ae)
        seq = views.last_seq()
        if since is None:
            shown: Iterable[Record] = feed.last(views, number, wanted)
        else:
            shown = feed.since(views, since, wanted)

        def show(event: Record) -> None:
            uid = event["study_instance_uid"]
            identity = identity_of(uid) if uid else None
            if as_json:
                printing.as_json({**event, **(identity or {})})
                return
            row, coloured = studies.row(event), printing.is_coloured()
            now = datetime.now(UTC)
            text = lines.line(event, row, now, coloured=coloured, identity=identity)
            typer.echo(lines.fitted(text))

        for event in shown:
            seq = max(seq, event["seq"])
            show(event)
        # Ctrl-C is how following is meant to end.
        with suppress(KeyboardInterrupt):
            pause = _pause(views)
            for event in feed.follow(views, seq, wanted, pause) if follow else ():
                show(event)


def _pause(views: Views) -> Callable[[], None]:
    """Wait; where the database says whether it has changed, until it has."""
    mark = views.mark()

    changed = Event()
    views.subscribe(changed.set)

    def rest() -> None:
        changed.wait(POLL_SECONDS)
        changed.clear()

    def pause() -> None:
        nonlocal mark
        rest()
        while mark is not None and views.mark() == mark:
            rest()
        mark = views.mark()

    return pause


class _Studies:
    """Rows of v1_worklist of studies that have been asked for lately."""

    def __init__(self, views: Views) -> None:
        self._views = views
        self._senders: dict[str, str] = {}

    def row(self, event: Record) -> Record | None:
        """Of the event's job, else of its study; fresh, for it changes."""
        if event["job_id"]:
            found = self._views.job(event["job_id"])
        else:
            uid = event["study_instance_uid"]
            found = self._views.study(uid) if uid else []
        return found[0] if found else None

    def sender(self, study_instance_uid: str) -> str:
        """The calling AE title."""
        known = self._senders.get(study_instance_uid)
        if known is None:
            if len(self._senders) >= _MOST_KNOWN:
                self._senders.clear()
            rows = self._views.study(study_instance_uid)
            known = rows[0]["calling_ae_title"] if rows else ""
            self._senders[study_instance_uid] = known
        return known


def _filter(studies: _Studies, state: str | None, ae: str | None) -> feed.Wanted:
    def wanted(event: Record) -> bool:
        if state is not None and event["state"] != state:
            return False
        study = event["study_instance_uid"]
        return ae is None or (study is not None and studies.sender(study) == ae)

    return wanted


@contextmanager
def _identities(
    config: Config, views: Views, phi: bool
) -> Iterator[Callable[[str], Record | None]]:
    """Who a study is of; each that is shown is noted in the audit trail, once."""
    if not phi:
        yield lambda _study: None
        return
    from dicomnode.processes.auditing import audited_command

    known: dict[str, Record | None] = {}
    with audited_command("tail", config) as audit:

        def identity_of(study: str) -> Record | None:
            if study not in known:
                found = views.identity(study)
                known[study] = found[0] if found else None
                if found:
                    audit.study_shown(views, study)
            return known[study]

        yield identity_of
