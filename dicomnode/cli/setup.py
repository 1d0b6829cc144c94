"""The commands that prepare and check: init, config."""

# ruff: noqa: PLC0415 - imports on demand keep --help fast

from __future__ import annotations

import os
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dicomnode.cli import printing
from dicomnode.cli.command import AsJson, Given, command
from dicomnode.errors import ConfigError

if TYPE_CHECKING:
    from dicomnode.config import Config

Force = Annotated[
    bool, typer.Option("--force", help="Overwrite a configuration that is there.")
]
ShowOrigin = Annotated[
    bool, typer.Option("--origin", help="Say of each value where it was written.")
]


def add_to(app: typer.Typer) -> None:
    """Register init and config."""
    command(app, "init")(init)
    of_config = typer.Typer(help="Check, show or explain the configuration.")
    command(of_config, "check")(config_check)
    command(of_config, "show")(config_show)
    command(of_config, "example")(config_example)
    app.add_typer(of_config, name="config")


def init(given: Given, force: Force = False) -> None:
    """Write a commented configuration, make the data folder, create the database.

    A configuration that is there is kept and used.
    """
    from dicomnode.config import example_text
    from dicomnode.worklist import upgrade

    file = given.file or Path(os.environ.get("DICOMNODE_CONFIG") or "config.toml")
    written = _write(file, example_text(), overwrite=force)
    typer.echo(f"{'wrote' if written else 'kept'}    {file}")
    config = Given(file, given.overrides).load()
    make_folder(config.node.data_dir)
    typer.echo(f"data     {config.node.data_dir}")
    upgrade(config.worklist_url)
    typer.echo("worklist ready")
    typer.echo(f"next: edit {file}, `dicomnode config check`, `dicomnode run`")


def _write(file: Path, text: str, *, overwrite: bool) -> bool:
    if file.exists() and not overwrite:
        return False
    make_folder(file.parent)
    try:
        file.write_text(text, encoding="utf-8")
    except OSError as error:
        message = f"{file}: {error.strerror}; choose a writable place with --config"
        raise ConfigError(message) from error
    return True


def make_folder(folder: Path) -> None:
    """Make a folder with its parents; raises ConfigError."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        message = (
            f"{folder}: {error.strerror}; make it, or name another in node.data_dir"
        )
        raise ConfigError(message) from error


def check(given: Given) -> Config:
    """The configuration, its certificates opened; raises ConfigError."""
    from datetime import UTC, datetime

    from dicomnode.processes.certificates import problems

    config = given.load()
    found = list(problems(config, datetime.now(UTC)))
    if found:
        raise ConfigError("\n".join(found))
    return config


def config_check(given: Given) -> None:
    """Read the configuration; tell every mistake, or `ok` and the file.

    The certificates it names are opened too.
    """
    config = check(given)
    typer.echo(f"ok: {config.file or 'defaults, there is no configuration file'}")


def config_show(
    given: Given, origin: ShowOrigin = False, as_json: AsJson = False
) -> None:
    """Print what is in force, as TOML, passwords masked."""
    from dicomnode.config import shown

    keys = list(shown(given.load()))
    if as_json:
        for one in keys:
            key = f"{one.table}.{one.key}"
            printing.as_json({"key": key, "value": one.value, "origin": one.origin})
        return
    for _, table in groupby(keys, lambda one: one.table):
        for number, one in enumerate(table):
            if number == 0:
                typer.echo(f"\n{one.header}")
            place = f"  # {one.origin}" if origin else ""
            typer.echo(f"{one.key} = {one.value}{place}")


def config_example(given: Given) -> None:
    """Print the manual: config.toml with every key and its default."""
    from dicomnode.config import example_text

    typer.echo(example_text(), nl=False)
