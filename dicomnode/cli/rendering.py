"""``show --report``: the results of a job, from the store, as one page."""

# ruff: noqa: PLC0415 - the builders and SQLAlchemy only where they are needed

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from dicomnode.errors import UnknownStudy

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

    from dicomnode.config import Config

Record = dict[str, Any]


def report(config: Config, rows: Sequence[Record], out: Path | None) -> None:
    """Write the report of the newest job among ``rows`` to ``out``, or print it.

    Raises UnknownStudy when there is none, or several that might be meant.
    """
    from dicomnode.results import showing

    page = showing.page(_results(config, _job_of(rows)))
    if out is None:
        typer.echo(page, nl=False)
        return
    out.write_text(page, encoding="utf-8")
    typer.echo(f"{out.resolve()}")


def conclusions(config: Config, rows: Sequence[Record]) -> list[Record]:
    """What the report of each job concludes, in its own words, for people.

    Raises UnknownStudy when a finished job's files are gone.
    """
    from dicomnode.results import reading

    ended = [one["job_id"] for one in rows if one["outcome"]]
    found = []
    for job_id in ended:
        reports = [x for x in _results(config, job_id) if "ContentSequence" in x]
        said = [reading.read(one).conclusion for one in reports]
        text = next((one for one in said if one), "")
        found.append({"job_id": job_id, "conclusion": text})
    return found


def _job_of(rows: Sequence[Record]) -> str:
    ended = [one for one in rows if one["job_id"]]
    newest = max((one["revision"] for one in ended), default=0)
    jobs = [str(one["job_id"]) for one in ended if one["revision"] == newest]
    if len(jobs) == 1:
        return jobs[0]
    message = f"the study has the jobs {', '.join(jobs)}; name the one to show"
    if not jobs:
        message = "the study has no job, so no report; see `dicomnode show` for why"
    raise UnknownStudy(message)


def _results(config: Config, job_id: str) -> list[Dataset]:
    from pydicom import dcmread

    from dicomnode.processes import storing
    from dicomnode.worklist import open_worklist

    with open_worklist(config.worklist_url) as worklist:
        kept = worklist.jobs.results(job_id)
    if not any(one.kind.startswith("sr") for one in kept):
        message = f"job {job_id} has no report; see `dicomnode show {job_id}` for why"
        raise UnknownStudy(message)
    store = storing.open_results_store(config)
    read: list[Dataset] = []
    for one in kept:
        try:
            with store.open(one.location) as file:
                read.append(dcmread(file))
        except FileNotFoundError:
            message = (
                f"the files of job {job_id} are gone (retention.keep_days); the PACS "
                "has the report, or `dicomnode reconcile` says what is missing"
            )
            raise UnknownStudy(message) from None
    return read
