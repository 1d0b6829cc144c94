"""The command `doctor`: every condition the node needs, with the remedy for each."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from dicomnode.cli import callups, checkups, modelling, printing, storage
from dicomnode.cli.checkups import Look, State
from dicomnode.cli.command import AsJson, ExitCode, Given, command

if TYPE_CHECKING:
    from dicomnode.config import Config

Offline = Annotated[
    bool, typer.Option("--offline", help="Ask nobody over the network.")
]

_HERE: tuple[Callable[[Config], Iterator[Look]], ...] = (
    checkups.database,
    checkups.disk,
    checkups.certificates,
    checkups.ports,
)
_THERE: tuple[Callable[[Config], Iterator[Look]], ...] = (
    storage.object_store,
    callups.peers,
    callups.destinations,
    callups.archives,
    callups.collector,
)
_CHILDREN: tuple[Callable[[Config], Iterator[Look]], ...] = (
    modelling.torch_and_gpu,
    modelling.bundles,
)


def add_to(app: typer.Typer) -> None:
    """Register doctor."""
    command(app, "doctor")(doctor)


def doctor(given: Given, offline: Offline = False, as_json: AsJson = False) -> ExitCode:
    """Look at everything the node needs and say the remedy for what is wrong; 3 then.

    Database and lock, SQLite, disk, clock, certificates, ports, codecs, torch and GPU,
    bundles, the object store, by C-ECHO the destinations, and DICOMweb archives.
    """
    states = set()
    for look in looks(given.load(), offline=offline):
        states.add(look.state)
        if as_json:
            printing.as_json(asdict(look))
        else:
            _print(look)
    return ExitCode.UNHEALTHY if State.FAIL in states else ExitCode.OK


def looks(config: Config, *, offline: bool) -> Iterator[Look]:
    """Each look as it is done, the quick ones first."""
    yield from checkups.program()
    for look in _HERE:
        yield from look(config)
    yield from checkups.clock()
    yield from checkups.codecs()
    for look in () if offline else _THERE:
        yield from look(config)
    for look in _CHILDREN:
        yield from look(config)


def _print(look: Look) -> None:
    typer.echo(f"{look.state:<5} {look.name:<12} {printing.text_of(look.said)}")
    if look.remedy:
        typer.echo(f"{'':<18} -> {look.remedy}")
