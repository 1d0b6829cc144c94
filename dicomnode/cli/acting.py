"""The commands that act on the network: echo, send, demo."""

# ruff: noqa: PLC0415 - pynetdicom only where it is needed

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dicomnode.cli import printing
from dicomnode.cli.command import AsJson, ExitCode, Given, command
from dicomnode.errors import ConfigError, DeliveryError

if TYPE_CHECKING:
    from dicomnode.config import Config, Destination
    from dicomnode.domain.delivery import Outgoing, Sent


_MEDIA_STORAGE_DIRECTORY = "1.2.840.10008.1.3.10"


class Pacs(StrEnum):
    """The archive that the demonstration delivers to."""

    EMBEDDED = "embedded"
    ORTHANC = "orthanc"


Called = Annotated[
    str, typer.Argument(metavar="DEST", help="A destination's name, or AE@HOST:PORT.")
]
To = Annotated[
    str,
    typer.Option("--to", metavar="DEST", help="A destination's name, or AE@HOST:PORT."),
]
Calling = Annotated[
    str,
    typer.Option(
        "--calling",
        metavar="AE",
        show_default=False,
        help="Our AE title in this association, instead of node.ae_title.",
    ),
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
    """Register echo, send and demo."""
    command(app, "echo")(echo)
    command(app, "send")(send)
    command(app, "demo")(demo)


def echo(given: Given, destination: Called, calling: Calling = "") -> None:
    """Ask a destination for Verification (C-ECHO) and print the round-trip."""
    from dicomnode.processes.senders import open_sender

    config = _as_calling(given.load(), calling)
    called = _called(destination, config)
    seconds = open_sender(called, config).echo()
    address = f"{called.ae_title}@{called.host}:{called.port}"
    typer.echo(f"ok: {address} answered in {seconds * 1000:.1f} ms")


def send(
    given: Given,
    path: Source,
    to: To,
    calling: Calling = "",
    as_json: AsJson = False,
) -> ExitCode:
    """Send DICOM files, or all in a folder, by C-STORE; 1 if any was refused."""
    from dicomnode.processes.senders import open_sender

    config = _as_calling(given.load(), calling)
    scu = open_sender(_called(to, config), config)
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
            printing.line(f"skipped: {error}", err=True)
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
        printing.line(f"refused: {sent.sop_instance_uid}: {sent.error}", err=True)


def _as_calling(config: Config, calling: str) -> Config:
    """With this AE title of ours, if one is given; raises ConfigError."""
    from dicomnode.config.values import ae_title

    if not calling:
        return config
    try:
        node = config.node.model_copy(update={"ae_title": ae_title(calling)})
    except ValueError as error:
        raise ConfigError(f"--calling {calling!r}: {error}") from None
    return config.model_copy(update={"node": node})


def _called(text: str, config: Config) -> Destination:
    """One that associations can be opened with; raises ConfigError."""
    found = destination_of(text, config)
    if not found.takes_results:
        message = f"{text} is only read by DICOMweb and has no AE title"
        raise ConfigError(f"{message}; `dicomnode doctor` asks it")
    return found


def destination_of(text: str, config: Config) -> Destination:
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


def name_of(destination: Destination, config: Config) -> str:
    """What ``destination_of`` takes for it."""
    if destination in config.destination:
        return destination.name
    return f"{destination.ae_title}@{destination.host}:{destination.port}"


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
