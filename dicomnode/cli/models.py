"""The commands of `dicomnode model`: the shelf of bundles, and a bundle tried."""

# ruff: noqa: PLC0415 - torch and the model only where a bundle is opened

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import redirect_stdout
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dicomnode.cli import printing
from dicomnode.cli.command import AsJson, Given, command

if TYPE_CHECKING:
    from dicomnode.bundles.acts import Act, Desk
    from dicomnode.bundles.shelf import Shelf
    from dicomnode.config import Config
    from dicomnode.processes.trial import Tried

RESEARCH_USE = "Research use only. Not a medical device."
_COLUMNS = (
    "name", "version", "state", "commissioned", "digest", "folder", "pipelines"
)  # fmt: skip

Bundle = Annotated[
    str, typer.Argument(metavar="BUNDLE", help="A name on the shelf, or a folder.")
]
Name = Annotated[str, typer.Argument(metavar="NAME", help="A name on the shelf.")]
Source = Annotated[
    Path, typer.Argument(metavar="PATH", exists=True, help="A folder, or its .zip.")
]
Images = Annotated[
    Path, typer.Argument(metavar="PATH", exists=True, help="A DICOM file, or a folder.")
]
Out = Annotated[
    Path | None,
    typer.Option("--out", metavar="DIR", help="Write the report objects there."),
]
Shadow = Annotated[
    bool, typer.Option("--shadow", help="For pipelines of mode shadow, to compare.")
]
Labels = Annotated[
    Path | None,
    typer.Option(
        "--labels",
        exists=True,
        help="CSV: path (or UID of the series), patient, and the answers.",
    ),
]
TrustHeader = Annotated[
    bool, typer.Option("--trust-header", help="Take View Position as the answer.")
]
Data = Annotated[
    Path | None,
    typer.Option(
        "--data", exists=True, help="Folder of the images or series [that of --labels]."
    ),
]
Site = Annotated[str, typer.Option("--site", help="A name of this site, for people.")]
Key = Annotated[
    Path | None,
    typer.Option("--key", exists=True, help="Private key that signs the addendum."),
]


def add_to(app: typer.Typer) -> None:
    """Register the commands of `model`."""
    of_model = typer.Typer(help="List, verify, try, install and commission bundles.")
    for name, body in (
        ("list", list_),
        ("show", show),
        ("verify", verify),
        ("try", try_),
        ("install", install),
        ("promote", promote),
        ("rollback", rollback),
        ("commission", commission),
    ):
        command(of_model, name)(body)
    app.add_typer(of_model, name="model")


_IN_USE = "workers use it after `dicomnode reload`, or when they start"


def list_(given: Given, as_json: AsJson = False) -> None:
    """Every bundle that is installed or ships, which version is in use, and where."""
    config = given.load()
    shelf = _shelf(config)
    rows = [
        {**row, "pipelines": _pipelines_of(config, row)}
        for name in shelf.names()
        for row in _rows(shelf, name)
    ]
    if as_json:
        for row in rows:
            printing.as_json(row)
    else:
        printing.rows("bundles", _COLUMNS, rows)


def _pipelines_of(config: Config, row: dict[str, Any]) -> str:
    """Those that run this very version; none runs what is only kept."""
    bundle = (row["name"], row["state"])
    return ",".join(x.name for x in config.pipeline if (x.bundle, x.mode) == bundle)


def _rows(shelf: Shelf, name: str) -> Iterator[dict[str, Any]]:
    from dicomnode.bundles.shelf import digest_of

    state, active = shelf.state(name), shelf.folder(name)
    for folder in shelf.versions(name):
        in_shadow = bool(state.shadow) and folder.name == state.shadow
        used = "active" if folder == active else "shadow" if in_shadow else "kept"
        yield {
            "name": name,
            "version": _version(folder),
            "state": used,
            "commissioned": shelf.addendum(folder) is not None,
            "digest": digest_of(folder),
            "folder": str(folder),
        }


def _version(folder: Path) -> str:
    import json

    try:
        found = json.loads((folder / "bundle.json").read_text("utf-8"))["version"]
    except (OSError, ValueError, KeyError, TypeError):
        return "unreadable"
    return str(found)


def show(given: Given, bundle: Bundle, as_json: AsJson = False) -> None:
    """What a bundle says of itself: use, labels with operating points, input."""
    config = given.load()
    folder = _folder(config, bundle)
    row = _desk(config).described(folder)
    if as_json:
        printing.as_json(row)
        return
    for key, value in row.items():
        for line in value if isinstance(value, list) else [value]:
            typer.echo(f"{key:<14} {printing.text_of(line)}")


def verify(given: Given, bundle: Bundle, as_json: AsJson = False) -> None:
    """Check every file, the signature if a key is set, and the test vector."""
    config = given.load()
    desk = _desk(config)
    said = desk.verify(_folder(config, bundle))
    row = {
        "name": said.name,
        "version": said.version,
        "digest": said.digest,
        "signed": config.bundles.public_key is not None,
        "runs": desk.runs(said.digest),
    }
    if as_json:
        printing.as_json(row)
        return
    signed = "signed and " if row["signed"] else ""
    typer.echo(f"ok: {said.name} {said.version} is {signed}as packed: {said.digest}")
    for line in desk.runs(said.digest):
        typer.echo(f"runs: {line}")


def try_(
    given: Given, bundle: Bundle, path: Images, out: Out = None, as_json: AsJson = False
) -> None:
    """Run a bundle on DICOM files and print what it says, without any PACS."""
    from dicomnode.processes.trial import try_bundle

    config = given.load()
    folder = _folder(config, bundle)
    # What the network says of itself is no part of the answer.
    with redirect_stdout(sys.stderr):
        answers = list(try_bundle(config, folder, path, out, datetime.now(UTC)))
    for tried in answers:
        if as_json:
            printing.as_json(_record(tried))
        else:
            _print(tried)


def _record(tried: Tried) -> dict[str, Any]:
    return {
        "study_instance_uid": tried.study_instance_uid,
        "reason": tried.findings.reason,
        "images": [
            {
                "sop_instance_uid": image.sop_instance_uid,
                "findings": [
                    {
                        "label": one.label,
                        "presence": one.presence.value,
                        "probability": one.probability,
                        "text": one.text,
                    }
                    for one in image.findings
                ],
                "categories": {one.label: one.probability for one in image.categories},
            }
            for image in tried.findings.images
        ],
        "not_analysed": [
            {"sop_instance_uid": one.sop_instance_uid, "reason": one.reason}
            for one in tried.findings.excluded
        ],
        "files": [str(path) for path in tried.files],
        "notice": RESEARCH_USE,
    }


def _print(tried: Tried) -> None:
    printing.line(f"study {tried.study_instance_uid}    {RESEARCH_USE}")
    for image in tried.findings.images:
        printing.line(f"  image {image.sop_instance_uid}")
        for one in image.findings:
            p = "" if one.probability is None else f"{one.probability:.3f}"
            typer.echo(f"    {one.presence.value:<12} {p:<6} {one.label}")
        for chosen in image.categories:
            typer.echo(f"    {chosen.concept.meaning}: {chosen.value.meaning}")
    for excluded in tried.findings.excluded:
        reason = printing.text_of(excluded.reason)
        printing.line(f"  not analysed {excluded.sop_instance_uid}: {reason}")
    for path in tried.files:
        typer.echo(f"  wrote {path}")


def install(
    given: Given, source: Source, shadow: Shadow = False, as_json: AsJson = False
) -> None:
    """Verify a bundle, copy it onto the shelf and use it; nothing is overwritten."""
    config = given.load()
    act = _audited(config, _desk(config).install(source, shadow=shadow))
    _print_act(act, as_json=as_json)
    if shadow and not as_json:
        typer.echo(f'it runs in each [[pipeline]] of bundle = "{act.name}" that has')
        typer.echo('mode = "shadow"; then `dicomnode model promote` it or not')


def promote(given: Given, name: Name, as_json: AsJson = False) -> None:
    """Make the version in shadow the active one."""
    config = given.load()
    _print_act(_audited(config, _desk(config).promote(name)), as_json=as_json)


def rollback(given: Given, name: Name, as_json: AsJson = False) -> None:
    """Go back to the version that was active before."""
    config = given.load()
    _print_act(_audited(config, _desk(config).rollback(name)), as_json=as_json)


def commission(  # noqa: PLR0913, PLR0917  # one for each option
    given: Given,
    bundle: Bundle,
    labels: Labels = None,
    trust_header: TrustHeader = False,
    data: Data = None,
    site: Site = "",
    key: Key = None,
    as_json: AsJson = False,
) -> None:
    """Re-set operating points with 20 to 50 labelled studies of this site."""
    if (labels is None) != trust_header:
        message = "give the answers with --labels FILE, or take --trust-header"
        raise typer.BadParameter(message, param_hint="--labels")
    config = given.load()
    folder = _folder(config, bundle)
    name = site or config.node.ae_title
    done = _desk(config).commission(folder, labels, data, site=name, key=key)
    for figure in done.figures:
        if as_json:
            printing.as_json(figure)
        else:
            typer.echo(_figure(figure))
    if not as_json:
        typer.echo(f"wrote {done.path}; {_IN_USE}")


def _figure(figure: dict[str, Any]) -> str:
    interval = f"[{figure['low']:.3f}, {figure['high']:.3f}]"
    return f"{figure['value']:.3f} {interval}  n={figure['n']}  {figure['name']}"


def _audited(config: Config, act: Act) -> Act:
    """Another network decides from now on: PS3.15 A.5.3.11, Software Configuration."""
    from dicomnode.audit import codes
    from dicomnode.processes.auditing import audited_command

    about = f"{act.name} {act.version} {act.digest}"
    with audited_command("model", config) as audit:
        audit.restricted(f"bundle {act.act}", about, codes.SOFTWARE_CONFIGURATION)
    return act


def _print_act(act: Act, *, as_json: bool) -> None:
    if as_json:
        row = {"act": act.act, "name": act.name, "version": act.version}
        printing.as_json({**row, "digest": act.digest, "folder": str(act.folder)})
        return
    typer.echo(f"{act.act}: {act.name} {act.version} {act.digest[:12]}")
    typer.echo(_IN_USE)


def _shelf(config: Config) -> Shelf:
    from dicomnode.processes.wiring import bundle_shelf

    return bundle_shelf(config)


def _desk(config: Config) -> Desk:
    from dicomnode.bundles.acts import Desk
    from dicomnode.processes.running import wanted

    key, now = config.bundles.public_key, datetime.now(UTC)
    return Desk(_shelf(config), key, now, wanted(config))


def _folder(config: Config, bundle: str) -> Path:
    """The folder that BUNDLE means: a name on the shelf first, else a path."""
    shelf = _shelf(config)
    if bundle not in shelf.names() and Path(bundle).is_dir():
        return Path(bundle)
    return shelf.folder(bundle)
