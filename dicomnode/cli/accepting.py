"""The command `acceptance`: the kit with which a site accepts its node."""

# ruff: noqa: PLC0415 - pynetdicom only where it is needed

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dicomnode.cli.command import ExitCode, Given, command
from dicomnode.errors import ConfigError

if TYPE_CHECKING:
    from dicomnode.acceptance.wire import Address

Out = Annotated[
    Path, typer.Option("--out", metavar="DIR", help="Where the report is left.")
]
To = Annotated[
    str,
    typer.Option(
        "--to",
        metavar="AE@HOST:PORT",
        show_default=False,
        help="A node on another machine: only what can be seen on the network.",
    ),
]
OwnNode = Annotated[
    bool,
    typer.Option("--own-node", help="Start a node in a temporary folder and test it."),
]
Calling = Annotated[
    str,
    typer.Option(
        "--calling", metavar="AE", show_default=False, help="AE title of the scanner."
    ),
]
SiteName = Annotated[
    str,
    typer.Option(
        "--site", metavar="NAME", show_default=False, help="Name on the report."
    ),
]
Only = Annotated[
    list[str] | None,
    typer.Option("--case", metavar="NAME", help="Only this case; repeatable."),
]
Lines = Annotated[
    bool,
    typer.Option("--lines", help="Print the lines that the node needs, and end."),
]


def add_to(app: typer.Typer) -> None:
    """Register acceptance."""
    command(app, "acceptance")(acceptance)


def acceptance(  # noqa: PLR0913, PLR0917 - the options of the command
    given: Given,
    out: Out = Path("acceptance-output"),
    to: To = "",
    own_node: OwnNode = False,
    calling: Calling = "",
    site: SiteName = "",
    case: Only = None,
    lines: Lines = False,
) -> ExitCode:
    """Test the running node with a fake scanner and a fake PACS; 3 if a case fails.

    Phantoms only, purged at the end. The report (HTML and JSON) is one to file.
    """
    from dicomnode import acceptance as kit

    config, title = given.load(), calling or kit.CALLING_AE_TITLE
    address = _address(to, title) if to else None
    if lines:
        typer.echo(kit.lines(config, title, address.host if address else ""), nl=False)
        return ExitCode.OK
    order = kit.Order(config, out, own_node, address, title, site, tuple(case or ()))
    return ExitCode.OK if kit.main(order) else ExitCode.UNHEALTHY


def _address(text: str, calling: str) -> Address:
    from dicomnode.acceptance.wire import Address

    called, at, rest = text.rpartition("@")
    host, colon, port = rest.rpartition(":")
    if not (at and colon and called and host and port.isdigit()):
        raise ConfigError(f"{text!r} is no address; write AE@HOST:PORT")
    return Address(called, host.strip("[]"), int(port), calling)
