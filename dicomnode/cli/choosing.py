"""Which jobs an admin's act is for: named ones, or all that fit a filter.

An act on named jobs is done at once. One on a filter says first how many it is for, and
goes on when it is told to: by an answer on the terminal, or by ``--yes``.
"""

from __future__ import annotations

import os
import pwd
import re
import sys
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dicomnode.cli import lines, printing
from dicomnode.cli.command import ExitCode, exit_code_of
from dicomnode.errors import UnknownStudy, WorklistError
from dicomnode.views import Views

if TYPE_CHECKING:
    from dicomnode.config import Config
    from dicomnode.processes.auditing import Auditor
    from dicomnode.worklist import Worklist

Jobs = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[JOB...]",
        show_default=False,
        help="Job ids, whole or as tail prints them, or Study Instance UIDs; without "
        "any: see the filters.",
    ),
]
OnlyPipeline = Annotated[
    str, typer.Option("--pipeline", metavar="NAME", help="Only jobs of this pipeline.")
]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask before a bulk act.")]
DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Only say how many it would be.")
]
Reason = Annotated[
    str,
    typer.Option(
        "--reason", metavar="TEXT", help="Why; kept in the event, so no names in it."
    ),
]


_SHORT = re.compile(rf"[0-9a-f]{{{lines.SHORT},}}")
_CANDIDATES = 5


@dataclass(frozen=True, slots=True)
class Filter:
    """All jobs with these values; an empty one is no condition."""

    pipeline: str = ""
    ae: str | None = None
    since: datetime | None = None

    def __bool__(self) -> bool:
        return bool(self.pipeline or self.ae or self.since)

    def rows(self, views: Views, states: Collection[str]) -> list[dict[str, Any]]:
        """The rows of v1_worklist whose job is in one of ``states``."""
        found = views.worklist(self.since, None, self.ae)
        return [
            row
            for row in found
            if row["job_state"] in states and self.pipeline in ("", row["pipeline"])
        ]


def one_of(targets: Sequence[str] | None, chosen: Filter) -> None:
    """Raise a usage error unless jobs are named or a filter is given, not both."""
    if bool(targets) == bool(chosen):
        message = (
            "name jobs, or give one of the filters --pipeline, --ae, --since; "
            "`dicomnode list` shows the jobs"
        )
        raise typer.BadParameter(message, param_hint="JOB")


def confirmed(count: int, what: str, *, yes: bool, dry_run: bool) -> bool:
    """Say how many things an act is for; whether to go on with it."""
    typer.echo(f"{count} {what}", err=True)
    if dry_run or not count:
        return False
    if yes:
        return True
    if not sys.stdin.isatty():
        message = f"would be for {count} {what}; add --yes to do it"
        raise typer.BadParameter(message, param_hint="--yes")
    return typer.confirm("Go on?", err=True)


@dataclass(frozen=True, slots=True)
class Desk:
    """The worklist, to change it by one verb; what is done is in the audit trail."""

    worklist: Worklist
    verb: str
    audit: Auditor

    def acted(self, about: str) -> None:
        """Audit the use of the verb (PS3.15 A.5.3.11); ``about``: on which job."""
        self.audit.restricted(self.verb, about)

    def each(
        self,
        ids: Iterable[str],
        act: Callable[[Worklist, str], str],
        *,
        as_json: bool = False,
    ) -> ExitCode:
        """Do ``act`` to each; its answer is shown. The worst exit code of all."""

        def audited(one: str) -> str:
            answer = act(self.worklist, one)
            self.acted(one)
            return answer

        codes = [_one(one, audited, as_json=as_json) for one in ids]
        return max(codes, default=ExitCode.OK)


def _one(one: str, act: Callable[[str], str], *, as_json: bool) -> ExitCode:
    try:
        answer, error = act(one), None
    except WorklistError as failure:
        answer, error = "", failure
    if as_json:
        said = str(error) if error else ""
        printing.as_json({"id": one, "done": answer, "error": said})
    elif error:
        printing.line(f"dicomnode: {error}", err=True)
    else:
        printing.line(f"{one} {answer}")
    return exit_code_of(error) if error else ExitCode.OK


def opened_desk(config: Config) -> AbstractContextManager[Worklist]:
    """The worklist, to change it; raises WorklistError."""
    # SQLAlchemy only where it is needed.
    from dicomnode.processes import wiring  # noqa: PLC0415

    return wiring.opened_worklist(config, checked=False)


@contextmanager
def audited_desk(config: Config, verb: str) -> Iterator[Desk]:
    """Like ``opened_desk``, for an act that is no purge; ``verb``: the command."""
    from dicomnode.processes.auditing import audited_command  # noqa: PLC0415

    with opened_desk(config) as worklist, audited_command(verb, config) as audit:
        yield Desk(worklist, verb, audit)


def job_of(views: Views, name: str) -> list[dict[str, Any]]:
    """The row of the job of this id, or whose id begins so, as `tail` prints it.

    None if there is no such job. Raises UnknownStudy if several begin so.
    """
    prefix = name.removeprefix("#")
    exact = views.job(prefix)
    if exact or not _SHORT.fullmatch(prefix):
        return exact
    found = views.jobs_like(prefix, _CANDIDATES)
    if len(found) > 1:
        ids = ", ".join(str(one["job_id"]) for one in found)
        more = " and others" * (len(found) == _CANDIDATES)
        message = f"several jobs begin with {prefix}: {ids}{more}; name one of them"
        raise UnknownStudy(message)
    return found


def whole_ids(views: Views, targets: Iterable[str]) -> list[str]:
    """``targets`` with whole job ids; what is no job that we know stays as it is."""
    return [_whole_id(views, one) for one in targets]


def _whole_id(views: Views, target: str) -> str:
    rows = [] if is_study(target) else job_of(views, target)
    return str(rows[0]["job_id"]) if rows else target


def is_study(target: str) -> bool:
    """Whether a target names a study: a UID has dots, a job id has none."""
    return "." in target


def operator() -> str:
    """The user of the operating system, for the event; also behind sudo."""
    try:
        name = pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        name = f"uid {os.getuid()}"
    before = os.environ.get("SUDO_USER")
    return f"{name} (sudo by {before})" if before and before != name else name
