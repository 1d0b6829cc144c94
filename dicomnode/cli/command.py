"""How every command is made: ``--config``, ``--set``, errors and exit codes."""

# ruff: noqa: PLC0415 - imports on demand keep --help fast

from __future__ import annotations

import inspect
import os
import signal
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_type_hints

import typer

from dicomnode.cli import printing
from dicomnode.errors import ConfigError, DicomNodeError, UnknownBundle, UnknownStudy

if TYPE_CHECKING:
    from dicomnode.config import Config


_INTERRUPTED = 128 + signal.SIGINT
"""What shells expect of a command that Ctrl-C ended."""


class ExitCode(IntEnum):
    """What a command ends with."""

    OK = 0
    ERROR = 1
    USAGE = 2
    UNHEALTHY = 3
    NOT_FOUND = 4


@dataclass(frozen=True, slots=True)
class Given:
    """What was given about the configuration, before it is read."""

    file: Path | None = None
    overrides: Mapping[str, str] = field(default_factory=dict)

    def load(self) -> Config:
        """Read and check it; raises ConfigError."""
        from dicomnode import config

        return config.load(self.file, self.overrides)

    def environment(self) -> dict[str, str]:
        """The overrides as environment variables, for processes that we start."""
        return {
            f"DICOMNODE_{key.replace('.', '__').upper()}": value
            for key, value in self.overrides.items()
        }


ConfigFile = Annotated[
    Path | None,
    typer.Option(
        "--config",
        metavar="FILE",
        show_default=False,
        help="Configuration file (else $DICOMNODE_CONFIG, ./config.toml, "
        "/etc/dicomnode/config.toml).",
    ),
]
Settings = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        show_default=False,
        help="Set a key of the configuration, e.g. receiver.port=11113; repeatable.",
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON object per line.")]

Body = Callable[..., ExitCode | None]


def command(app: typer.Typer, name: str) -> Callable[[Body], Body]:
    """Make a function a command of ``app``.

    The function takes a Given first and its own options after it, and returns its exit
    code (None: 0). ``--config`` and ``--set`` are added; they may also stand before the
    name of the command.
    """

    def register(body: Body) -> Body:
        app.command(name, help=inspect.getdoc(body))(_callback(body))
        return body

    return register


def group_command(app: typer.Typer) -> Callable[[Body], Body]:
    """Make a function what a group of commands does when none of them is named."""

    def register(body: Body) -> Body:
        app.callback(invoke_without_command=True, help=inspect.getdoc(body))(
            _callback(body)
        )
        return body

    return register


def _callback(body: Body) -> Callable[..., None]:
    def call(ctx: typer.Context, **options: Any) -> None:
        before: Given = ctx.find_root().obj or Given()
        given = given_by(options.pop("config"), options.pop("setting"), before)
        if ctx.invoked_subcommand is not None:
            ctx.find_root().obj = given
            return
        raise typer.Exit(ended(lambda: body(given, **options)))

    own = _parameters(body)[1:]
    extra = _parameters(_with_configuration)
    parameters = [*own[: _n_positional(own)], *extra, *own[_n_positional(own) :]]
    context = inspect.Parameter(
        "ctx", inspect.Parameter.KEYWORD_ONLY, annotation=typer.Context
    )
    signature = inspect.Signature([context, *parameters])
    call.__signature__ = signature  # type: ignore[attr-defined]
    call.__annotations__ = {
        one.name: one.annotation for one in signature.parameters.values()
    }
    return call


def _with_configuration(config: ConfigFile = None, setting: Settings = None) -> None:
    """The parameters that every command has."""


def _parameters(function: Callable[..., object]) -> list[inspect.Parameter]:
    hints = get_type_hints(function, include_extras=True)
    return [
        one.replace(annotation=hints[one.name], kind=inspect.Parameter.KEYWORD_ONLY)
        for one in inspect.signature(function).parameters.values()
    ]


def _n_positional(parameters: list[inspect.Parameter]) -> int:
    return sum(one.default is inspect.Parameter.empty for one in parameters)


def given_by(
    file: Path | None, settings: list[str] | None, before: Given | None = None
) -> Given:
    """Options after the command's name win over those before it."""
    earlier = before or Given()
    overrides = dict(_pair(text) for text in settings or ())
    return Given(file or earlier.file, {**earlier.overrides, **overrides})


def _pair(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not equals or not key.strip():
        message = f"{text!r} has no KEY=VALUE; write for example receiver.port=11113"
        raise typer.BadParameter(message, param_hint="--set")
    return key.strip(), value.strip()


def ended(body: Callable[[], ExitCode | int | None]) -> int:
    """Run a command; its errors become a message on standard error and a code."""
    try:
        return int(body() or ExitCode.OK)
    except DicomNodeError as error:
        printing.line(f"dicomnode: {error}", err=True)
        return exit_code_of(error)
    except BrokenPipeError:
        # The reader, such as `head`, has seen enough; let the flush at exit go nowhere.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return ExitCode.OK
    except KeyboardInterrupt:
        return _INTERRUPTED


def exit_code_of(error: DicomNodeError) -> ExitCode:
    """What the process ends with when ``error`` stops a command."""
    if isinstance(error, UnknownStudy | UnknownBundle):
        return ExitCode.NOT_FOUND
    if isinstance(error, ConfigError):
        return ExitCode.USAGE
    return ExitCode.ERROR
