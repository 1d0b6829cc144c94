"""The command `account`: makes the table that lets someone sign in to the pages."""

# ruff: noqa: PLC0415 - imports on demand keep --help fast

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from dicomnode.cli.command import Given, command

_SHORTEST = 12


class RoleName(StrEnum):
    """What an account may do."""

    VIEWER = "viewer"
    OPERATOR = "operator"
    ADMIN = "admin"


Name = Annotated[str, typer.Argument(metavar="NAME")]
WithRole = Annotated[RoleName, typer.Option("--role", help="What the account may do.")]
Phi = Annotated[bool, typer.Option("--phi", help="It may see patient identity.")]
Token = Annotated[
    bool, typer.Option("--token", help="For a program: make a token, ask nothing.")
]


def add_to(app: typer.Typer) -> None:
    """Register account."""
    command(app, "account")(account)


def account(
    given: Given,
    name: Name,
    role: WithRole = RoleName.VIEWER,
    phi: Phi = False,
    token: Token = False,
) -> None:
    """Print the [[account]] table for config.toml; asks for the password."""
    from dicomnode.web.access import hashed, new_token

    secret = new_token() if token else _password()
    typer.echo("[[account]]")
    typer.echo(f'name = "{name}"\nrole = "{role.value}"\nphi = {str(phi).lower()}')
    typer.echo(f'secret = "{hashed(secret)}"')
    if token:
        typer.echo(f"Authorization: Bearer {name}:{secret}", err=True)
        typer.echo("Keep this line; it is not shown again.", err=True)


def _password() -> str:
    password: str = typer.prompt(
        "Password", hide_input=True, confirmation_prompt=True, err=True
    )
    if len(password) < _SHORTEST:
        message = f"is too short; use at least {_SHORTEST} characters"
        raise typer.BadParameter(message, param_hint="Password")
    return password
