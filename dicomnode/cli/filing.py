"""``show --files``: where the files of a study lie, and whether they are whole."""

# ruff: noqa: PLC0415 - the stores only where they are needed

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from dicomnode.domain.reconciliation import FileFacts, in_file
from dicomnode.errors import StoreUnreachable

if TYPE_CHECKING:
    from dicomnode.config import Config
    from dicomnode.ports import Stock
    from dicomnode.views import Views

Record = dict[str, Any]

WHOLE = "whole"
REMOVED = "removed"
LOST = "lost"
UNREAD = "not read"
COLUMNS = ("kind", "state", "n_bytes", "detail", "path", "sop_instance_uid", "sha256")


def files(config: Config, views: Views, rows: Sequence[Record]) -> Iterator[Record]:
    """Each file of a study and of the results of the jobs among ``rows``.

    ``path`` is of the local disk, or the URL of the object; ``n_bytes`` are of the data
    set, without the file meta. Every file that should be there is read to the end, to
    compare its digest with the one that the worklist keeps.
    """
    from dicomnode.processes import storing

    jobs = {row["job_id"] for row in rows}
    stocks = (storing.open_stock(config), storing.open_results_stock(config))
    roots = [storing.root(config, kind) for kind in ("instances", "results")]
    for one in views.files(rows[0]["study_instance_uid"]):
        is_result = bool(one.pop("is_result"))
        if is_result and one["job_id"] not in jobs:
            continue
        path = f"{roots[is_result]}/{one['location']}"
        yield {**one, "path": path} | _looked_at(one, stocks[is_result], is_result)


def _looked_at(row: Record, stock: Stock, is_result: bool) -> Record:
    """The state of a file, how many bytes it has, and what is wrong with it."""
    if row["missing_at"]:
        return {"state": LOST, "detail": f"since {row['missing_at']}"}
    if row["forgotten_at"]:
        return {"state": REMOVED, "detail": f"at {row['forgotten_at']}"}
    try:
        measure = stock.measure(row["location"])
        digest = stock.digest(row["location"]) if measure else None
    except FileNotFoundError:
        measure = digest = None
    except (StoreUnreachable, PermissionError) as error:
        return {"state": UNREAD, "detail": str(error)}
    facts = FileFacts(
        row["location"],
        row["sha256"],
        row["n_bytes"],
        datetime.fromisoformat(row["since"]),
        row["sop_instance_uid"],
    )
    wrong = in_file(facts, measure, digest, result=is_result)
    known = row["n_bytes"] or (measure.n_bytes if measure else None)
    if wrong is None:
        return {"state": WHOLE, "detail": "", "n_bytes": known}
    detail = "; ".join(filter(None, (wrong.detail, wrong.remedy)))
    return {"state": wrong.kind.value, "detail": detail, "n_bytes": known}
