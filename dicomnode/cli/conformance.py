"""The command `conformance`: the generated tables of the Conformance Statement."""

# ruff: noqa: PLC0415 - pynetdicom and highdicom only where they are needed

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dicomnode.cli import printing
from dicomnode.cli.command import ExitCode, Given, command
from dicomnode.errors import ConfigError

Check = Annotated[
    Path | None,
    typer.Option(
        "--check", metavar="FILE", help="Compare a document; 3 if it differs."
    ),
]
Update = Annotated[
    Path | None,
    typer.Option("--update", metavar="FILE", help="Write the tables into a document."),
]
Only = Annotated[
    list[str] | None,
    typer.Option("--table", metavar="NAME", help="Only this table; repeatable."),
]
Site = Annotated[
    bool,
    typer.Option("--site", help="With this site's configuration, not the defaults."),
]


def add_to(app: typer.Typer) -> None:
    """Register conformance."""
    command(app, "conformance")(conformance)


def conformance(
    given: Given,
    table: Only = None,
    site: Site = False,
    check: Check = None,
    update: Update = None,
) -> ExitCode:
    """Print the tables of the DICOM Conformance Statement (PS3.2 Annex N) as Markdown.

    They are made from the program itself; docs/conformance.md holds them.
    """
    made = _tables(given, site=site)
    if check is not None:
        return _check(check, made)
    if update is not None:
        _update(update, made)
        return ExitCode.OK
    for name in table or made:
        if name not in made:
            known = ", ".join(made)
            raise ConfigError(f"there is no table {name!r}; the names are {known}")
        typer.echo(f"## {name}\n\n{made[name]}\n")
    return ExitCode.OK


def _tables(given: Given, *, site: bool) -> dict[str, str]:
    from dicomnode import conformance
    from dicomnode.config import Config

    return conformance.tables(given.load() if site else Config())


def _check(file: Path, made: dict[str, str]) -> ExitCode:
    from dicomnode import conformance

    found = conformance.differing(_read(file), made)
    for one in found:
        printing.line(f"{file}: block {one.name!r} {one.reason}", err=True)
    if found:
        remedy = f"`dicomnode conformance --update {file}` writes them"
        printing.line(remedy, err=True)
        return ExitCode.UNHEALTHY
    typer.echo(f"ok: {len(made)} tables of {file} are what the program does")
    return ExitCode.OK


def _update(file: Path, made: dict[str, str]) -> None:
    from dicomnode import conformance

    before = _read(file)
    after = conformance.filled(before, made)
    if after != before:
        file.write_text(after, encoding="utf-8")
    typer.echo(f"{'kept' if after == before else 'wrote'} {file}")


def _read(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except OSError as error:
        message = f"{file}: {error.strerror}; name a document that is there"
        raise ConfigError(message) from error
