"""The command `support-bundle`: what a helper far away needs, and nobody's identity."""

# ruff: noqa: PLC0415 - imports on demand keep --help fast

from __future__ import annotations

import json
import platform
import sys
import zipfile
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.metadata import distributions
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dicomnode.cli.command import ExitCode, Given, command
from dicomnode.cli.doctor import Offline, looks
from dicomnode.cli.reading import opened_views
from dicomnode.cli.scrubbing import Scrubber, configuration, names_of
from dicomnode.errors import ConfigError, DicomNodeError
from dicomnode.version import VERSION

if TYPE_CHECKING:
    from dicomnode.config import Config
    from dicomnode.views import Views

ROWS = 1000
LOG_BYTES = 2_000_000
_README = """Support bundle of dicomnode. Research use only.

It holds no patient names, IDs, dates or accession numbers, no images and no audit
trail. UIDs, addresses, AE titles and host names are pseudonyms that are the same
throughout this bundle. Look through it before you send it: it is text only.
"""

NoPhi = Annotated[
    bool,
    typer.Option(
        "--no-phi", help="Required: it is made without patient data, or not at all."
    ),
]
Out = Annotated[
    Path | None,
    typer.Option("--out", metavar="FILE", help="Where to write the .zip."),
]
Logs = Annotated[
    list[Path] | None,
    typer.Option(
        "--log",
        metavar="FILE",
        help="A file with the node's JSON log; its last lines are added; repeatable.",
    ),
]


def add_to(app: typer.Typer) -> None:
    """Register support-bundle."""
    command(app, "support-bundle")(support_bundle)


def support_bundle(
    given: Given,
    no_phi: NoPhi = False,
    out: Out = None,
    log: Logs = None,
    offline: Offline = False,
) -> ExitCode:
    """Write a .zip for whoever helps: versions, configuration, state, no patient data.

    Secrets are left out; names, addresses and UIDs are pseudonyms.
    """
    if not no_phi:
        message = "a bundle with patient data is not made; write --no-phi"
        raise typer.BadParameter(message, param_hint="--no-phi")
    config = given.load()
    file = out or Path(f"dicomnode-support-{datetime.now(UTC):%Y%m%dT%H%M%SZ}.zip")
    scrubber = Scrubber(list(names_of(config)))
    with _written(file) as archive:
        for name, text in _parts(config, scrubber, log or (), offline=offline):
            archive.writestr(name, text)
    typer.echo(f"wrote {file}; look through it before you send it")
    return ExitCode.OK


def _written(file: Path) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED)
    except OSError as error:
        message = f"{file}: {error.strerror}; name a writable place with --out"
        raise ConfigError(message) from error


def _parts(
    config: Config, scrubber: Scrubber, logs: Iterable[Path], *, offline: bool
) -> Iterator[tuple[str, str]]:
    yield "README.txt", _README
    yield "versions.json", _json(_versions())
    yield "config.txt", "\n".join(configuration(config, scrubber)) + "\n"
    seen = (asdict(look) for look in looks(config, offline=offline))
    yield "doctor.jsonl", _lines(_scrubbed(seen, scrubber))
    yield from _of_worklist(config, scrubber)
    for number, path in enumerate(logs):
        yield f"log-{number}.jsonl", _log(path, scrubber)


def _scrubbed(
    rows: Iterable[dict[str, Any]], scrubber: Scrubber
) -> Iterator[dict[str, Any]]:
    for row in rows:
        yield {
            name: scrubber.text(value) if isinstance(value, str) else value
            for name, value in row.items()
        }


def _versions() -> dict[str, Any]:
    installed = sorted((one.name.lower(), one.version) for one in distributions())
    return {
        "dicomnode": VERSION,
        "python": sys.version,
        "platform": platform.platform(),
        "machine": platform.machine(),
        "installed": dict(installed),
    }


def _of_worklist(config: Config, scrubber: Scrubber) -> Iterator[tuple[str, str]]:
    try:
        with opened_views(config) as views:
            yield "counts.json", _json(views.counts())
            for name, rows in _views(views):
                yield f"{name}.jsonl", _lines(map(scrubber.row, rows))
    except DicomNodeError as error:
        yield "worklist-unreadable.txt", scrubber.text(f"{error}\n")
    yield "database.json", _json(_database(config, scrubber))


def _views(views: Views) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """All but v1_identity, the newest rows of each."""
    yield "v1_worklist", views.worklist(limit=ROWS)
    yield "v1_events", views.events(max(0, views.last_seq() - ROWS), ROWS)
    yield "v1_deliveries", views.deliveries()[-ROWS:]
    yield "v1_absences", views.absences()
    yield "v1_chores", views.chores()
    yield "v1_roles", views.roles()
    yield "v1_spools", views.spools()
    yield "v1_workers", views.workers()
    yield "v1_associations", views.associations(limit=ROWS)


def _database(config: Config, scrubber: Scrubber) -> dict[str, Any]:
    from dicomnode.worklist import check

    said: dict[str, Any] = {"kind": config.worklist_url.partition(":")[0]}
    try:
        said["schema"] = check(config.worklist_url, integrity=True)
        said["sound"] = True
    except DicomNodeError as error:
        said |= {"sound": False, "error": scrubber.text(str(error))}
    folder = config.node.data_dir
    said["bytes"] = {
        one.name: one.stat().st_size for one in folder.glob("worklist.db*")
    }
    return said


def _log(path: Path, scrubber: Scrubber) -> str:
    """The last lines that are JSON, with the fields that a log may have, scrubbed."""
    from dicomnode.telemetry import allow_listed

    dropped: Counter[str] = Counter()
    lines = []
    for raw in _tail(path):
        try:
            event = json.loads(raw)
        except ValueError:
            event = None
        if not isinstance(event, dict):
            dropped["lines that are no JSON object"] += 1
            continue
        kept = allow_listed(None, "", event)
        lines.append(_scrubbed_event(dict(kept), scrubber))
    return _lines([*lines, {"dropped": dict(dropped)}])


def _scrubbed_event(event: dict[str, Any], scrubber: Scrubber) -> dict[str, Any]:
    plain = json.loads(json.dumps(event, default=str))
    return {
        name: json.loads(scrubber.text(json.dumps(value)))
        for name, value in plain.items()
    }


def _tail(path: Path) -> list[str]:
    try:
        with path.open("rb") as file:
            size = file.seek(0, 2)
            file.seek(max(0, size - LOG_BYTES))
            raw = file.read()
    except OSError as error:
        message = f"{path}: {error.strerror}; name a readable log with --log"
        raise ConfigError(message) from error
    lines = raw.decode("utf-8", "replace").splitlines()
    return lines if size <= LOG_BYTES else lines[1:]


def _json(value: object) -> str:
    return json.dumps(value, indent=2, default=str) + "\n"


def _lines(rows: Iterable[dict[str, Any]]) -> str:
    return "".join(json.dumps(row, default=str) + "\n" for row in rows)
