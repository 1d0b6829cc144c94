"""A case: what is done to the node, what must be seen, and what was."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from time import monotonic

from dicomnode.acceptance.bench import Bench
from dicomnode.errors import DicomNodeError


class Verdict(StrEnum):
    """How a case ended."""

    PASSED = "pass"
    FAILED = "fail"
    NOT_RUN = "not run"


class MissedError(DicomNodeError):
    """Something else than expected was seen; the message says what."""


class NotApplicableError(DicomNodeError):
    """The case cannot be shown here; the message says why."""


@dataclass(frozen=True, slots=True)
class Case:
    """``run`` does it and returns what was seen; it raises MissedError, or
    NotApplicableError. ``needs_worklist``: it looks into the database of the node.
    """

    name: str
    title: str
    expected: str
    remedy: str
    run: Callable[[Bench], str]
    needs_worklist: bool = True


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a case; ``remedy`` is empty unless it failed."""

    name: str
    title: str
    expected: str
    seen: str
    verdict: Verdict
    remedy: str
    seconds: float


def tried(case: Case, bench: Bench) -> Outcome:
    """Run one case; what goes wrong in it is its outcome, not an error."""
    began = monotonic()
    seen, verdict = _seen(case, bench)
    return Outcome(
        name=case.name,
        title=case.title,
        expected=case.expected,
        seen=seen,
        verdict=verdict,
        remedy=case.remedy if verdict is Verdict.FAILED else "",
        seconds=round(monotonic() - began, 2),
    )


def _seen(case: Case, bench: Bench) -> tuple[str, Verdict]:
    if case.needs_worklist and bench.views is None:
        return "needs the worklist: run it on the node's machine", Verdict.NOT_RUN
    try:
        return case.run(bench), Verdict.PASSED
    except NotApplicableError as error:
        return str(error), Verdict.NOT_RUN
    except (DicomNodeError, OSError) as error:
        return str(error), Verdict.FAILED
