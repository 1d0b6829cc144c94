"""The command `reconcile`: is everything that was received accounted for?"""

# ruff: noqa: PLC0415 - SQLAlchemy only where it is needed

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from dicomnode.cli import printing
from dicomnode.cli.command import AsJson, ExitCode, Given, command

if TYPE_CHECKING:
    from dicomnode.domain.reconciliation import Discrepancy, Sums

Repair = Annotated[
    bool, typer.Option("--repair", help="Repair what is safe; each repair is an event.")
]
Verify = Annotated[
    bool, typer.Option("--verify", help="Read every file and compare its SHA-256.")
]


def add_to(app: typer.Typer) -> None:
    """Register reconcile."""
    command(app, "reconcile")(reconcile)


def reconcile(
    given: Given,
    repair: Repair = False,
    verify: Verify = False,
    as_json: AsJson = False,
) -> ExitCode:
    """Prove the balance of instances, results, files and rows; 3 if it is none.

    It works while the node runs. Work under way is no discrepancy.
    """
    from dicomnode.processes import reconcile as process
    from dicomnode.processes import wiring

    config = given.load()

    def tell(found: Discrepancy, repaired: bool, why: str) -> None:
        _tell(found, repaired, why, as_json=as_json)

    with wiring.opened_worklist(config) as worklist:
        sums = process.run(config, worklist, tell, repair=repair, verify=verify)
    if as_json:
        balance = {"record": "balance", "balanced": sums.balanced}
        counts = {"n_found": sums.n_found, "n_repaired": sums.n_repaired}
        printing.as_json({**balance, **counts, **sums.as_record()})
    else:
        _print(sums)
    return ExitCode.OK if sums.balanced else ExitCode.UNHEALTHY


def _tell(found: Discrepancy, repaired: bool, why: str, *, as_json: bool) -> None:
    if as_json:
        row = {"kind": str(found.kind), "subject": found.subject}
        more = {"detail": found.detail, "repaired": repaired, "remedy": why}
        printing.as_json({"record": "discrepancy", **row, **more})
        return
    detail = f", {found.detail}" if found.detail else ""
    what = "repaired" if repaired else f"! {why}"
    printing.line(f"{found.kind}: {found.subject}{detail}; {what}")


def _print(sums: Sums) -> None:
    for name, counts in (("instances", sums.instances), ("results", sums.results)):
        states = "  ".join(f"{state} {n}" for state, n in counts.items() if n)
        typer.echo(f"{name:<10} {counts.total()}  {states}".rstrip())
    for reason, number in sums.reasons.most_common():
        typer.echo(f"{'excluded':<10} {number}  {reason}")
    typer.echo(f"{'files':<10} {sums.n_files}")
    left = sums.n_found - sums.n_repaired
    if sums.balanced:
        typer.echo(f"balanced   {sums.n_repaired} repaired")
    else:
        typer.echo(
            f"not balanced: {left} not accounted for, {sums.n_repaired} repaired"
        )
