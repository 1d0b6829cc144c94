"""The commands that act on the network or on the worklist: retry, echo, send, demo."""

# ruff: noqa: PLC0415 - pynetdicom and SQLAlchemy only where they are needed

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dicomnode.cli import printing
from dicomnode.cli.command import AsJson, ExitCode, Given, command, exit_code_of
from dicomnode.cli.reading import opened_views
from dicomnode.errors import ConfigError, DeliveryError, WorklistError
from dicomnode.views import Views

if TYPE_CHECKING:
    from dicomnode.config import Config, Destination
    from dicomnode.domain.delivery import Outgoing, Sent
    from dicomnode.ports import Desk


_MEDIA_STORAGE_DIRECTORY = "1.2.840.10008.1.3.10"


class Pacs(StrEnum):
    """The archive that the demonstration delivers to."""

    EMBEDDED = "embedded"
    ORTHANC = "orthanc"


JobIds = Annotated[
    list[str] | None, typer.Argument(metavar="JOB...", show_default=False)
]
AllFailed = Annotated[
    bool, typer.Option("--all-failed", help="Every failed job and delivery.")
]
Called = Annotated[
    str, typer.Argument(metavar="DEST", help="A destination's name, or AE@HOST:PORT.")
]
To = Annotated[
    str,
    typer.Option("--to", metavar="DEST", help="A destination's name, or AE@HOST:PORT."),
]
Source = Annotated[
    Path,
    typer.Argument(metavar="PATH", exists=True, help="A DICOM file, or a folder."),
]
Out = Annotated[
    Path, typer.Option("--out", metavar="DIR", help="Where it leaves files.")
]
WhichPacs = Annotated[Pacs, typer.Option("--pacs", help="The archive to deliver to.")]
KeepIt = Annotated[
    bool, typer.Option("--keep", help="Keep the node's data and leave it running.")
]


def add_to(app: typer.Typer) -> None:
    """Register retry, echo, send and demo."""
    command(app, "retry")(retry)
    command(app, "echo")(echo)
    command(app, "send")(send)
    command(app, "demo")(demo)


def retry(given: Given, jobs: JobIds = None, all_failed: AllFailed = False) -> ExitCode:
    """Run failed or canceled jobs again, and revive deliveries that were given up."""
    from dicomnode.processes import wiring

    if bool(jobs) == all_failed:
        message = "name the jobs to retry, or --all-failed; `dicomnode list` shows them"
        raise typer.BadParameter(message, param_hint="JOB")
    config = given.load()
    with opened_views(config) as views:
        chosen = list(jobs or _failed(views))
    with wiring.opened_worklist(config) as worklist:
        codes = [_retry_one(worklist.desk, job_id) for job_id in chosen]
    if not codes:
        typer.echo("nothing has failed")
    return max(codes, default=ExitCode.OK)


def _retry_one(desk: Desk, job_id: str) -> ExitCode:
    """Both kinds of failure are of one job: revive whatever has failed of it."""
    now = datetime.now(UTC)
    try:
        if "." in job_id:  # a UID: a study that no rule wanted goes by the rules again
            desk.reroute(job_id, now)
            typer.echo(f"{job_id} COMPLETE")
            return ExitCode.OK
        revived = desk.retry_deliveries(job_id, now)
        if not revived:
            desk.retry_job(job_id, now)
    except WorklistError as error:
        typer.echo(f"dicomnode: {error}", err=True)
        return exit_code_of(error)
    what = f"{revived} delivery(s) PENDING" if revived else "SCHEDULED"
    typer.echo(f"{job_id} {what}")
    return ExitCode.OK


def _failed(views: Views) -> Iterable[str]:
    jobs = [row["job_id"] for row in views.worklist(state="FAILED")]
    dead = [
        row["job_id"]
        for row in views.deliveries()
        if row["state"] in {"FAILED", "REJECTED"}
    ]
    return dict.fromkeys([*jobs, *dead])


def echo(given: Given, destination: Called) -> None:
    """Ask a destination for Verification (C-ECHO) and print the round-trip."""
    from dicomnode.processes.senders import open_sender

    config = given.load()
    called = _destination(destination, config)
    seconds = open_sender(called, config).echo()
    address = f"{called.ae_title}@{called.host}:{called.port}"
    typer.echo(f"ok: {address} answered in {seconds * 1000:.1f} ms")


def send(given: Given, path: Source, to: To, as_json: AsJson = False) -> ExitCode:
    """Send DICOM files, or all in a folder, by C-STORE; 1 if any was refused."""
    from dicomnode.processes.senders import open_sender

    config = given.load()
    scu = open_sender(_destination(to, config), config)
    outgoing = list(_readable(path))
    if not outgoing:
        raise DeliveryError(f"{path} holds no DICOM file (PS3.10); name one that does")
    answers = []
    for sent in _with_progress(scu.send_each(outgoing), len(outgoing)):
        answers.append(sent)
        _print_answer(sent, as_json=as_json)
    refused = len(outgoing) - sum(sent.accepted for sent in answers)
    if not as_json:
        typer.echo(f"{len(outgoing) - refused} sent, {refused} refused")
    return ExitCode.ERROR if refused else ExitCode.OK


def _readable(path: Path) -> Iterator[Outgoing]:
    from dicomnode.delivery import outgoing

    if path.is_file():
        yield outgoing.read(path)
        return
    for file in sorted(one for one in path.rglob("*") if one.is_file()):
        try:
            one = outgoing.read(file)
        except DeliveryError as error:
            typer.echo(f"skipped: {error}", err=True)
            continue
        # The index of a medium (PS3.3 F) lies beside the instances and is none.
        if one.sop_class_uid != _MEDIA_STORAGE_DIRECTORY:
            yield one


def _with_progress(answers: Iterable[Sent], total: int) -> Iterable[Sent]:
    if not sys.stderr.isatty():
        return answers
    from rich.console import Console
    from rich.progress import track

    console = Console(stderr=True)
    return track(answers, "sending", total=total, console=console, transient=True)


def _print_answer(sent: Sent, *, as_json: bool) -> None:
    if as_json:
        row = {"sop_instance_uid": sent.sop_instance_uid, "status": sent.status}
        printing.as_json({**row, "accepted": sent.accepted, "error": sent.error})
    elif not sent.accepted:
        typer.echo(f"refused: {sent.sop_instance_uid}: {sent.error}", err=True)


def _destination(text: str, config: Config) -> Destination:
    """A configured destination, or AE@HOST:PORT; raises ConfigError."""
    named = {one.name: one for one in config.destination}
    if text in named:
        return named[text]
    ae_title, at, address = text.rpartition("@")
    host, colon, port = address.rpartition(":")
    if not (at and colon):
        known = ", ".join(named) or "none is configured"
        message = f"no destination {text!r} ({known}); name one, or AE@HOST:PORT"
        raise ConfigError(message)
    return _given_destination(ae_title, host.strip("[]"), port)


def _given_destination(ae_title: str, host: str, port: str) -> Destination:
    from pydantic import ValidationError

    from dicomnode.config import Destination

    try:
        return Destination.model_validate(
            {"name": "given", "ae_title": ae_title, "host": host, "port": port}
        )
    except ValidationError as error:
        first = error.errors()[0]
        message = f"{first['loc'][0]} {first['msg']}; write AE@HOST:PORT"
        raise ConfigError(message) from None


def demo(
    given: Given,
    out: Out = Path("demo-output"),
    pacs: WhichPacs = Pacs.EMBEDDED,
    keep: KeepIt = False,
) -> ExitCode:
    """Show the whole chain on this machine, with phantoms; nothing to configure."""
    from dicomnode import demo as demonstration

    return ExitCode(demonstration.main(out, pacs.value, keep))
