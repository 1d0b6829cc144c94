"""What became of each study, as seen from outside: the worklist and the PACS."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO

from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.uid import BasicTextSRStorage

from dicomnode.demo.cases import ANALYSED, NOT_ANALYSED, NOT_ROUTED, Case
from dicomnode.demo.pacs import Pacs, find_series
from dicomnode.results.reading import Reading, read

Row = Mapping[str, object]
"""A row of a v1 view."""


@dataclass(frozen=True, slots=True)
class Report:
    """A Structured Report as it came back from the PACS."""

    part10: bytes
    ds: Dataset
    reading: Reading


@dataclass(frozen=True, slots=True)
class Outcome:
    """One study: what was sent, what the worklist says, what the PACS has.

    ``series`` are the modalities that C-FIND names; ``report`` is the coded one, its
    plain companion does not count; ``captures`` are in the order of their numbers.
    """

    case: Case
    row: Row
    deliveries: tuple[Row, ...]
    series: tuple[str, ...]
    report: Report | None
    captures: tuple[Dataset, ...]

    @property
    def found(self) -> str:
        """ANALYSED, NOT_ANALYSED or NOT_ROUTED; else the state it is stuck in."""
        if self.row.get("study_state") == NOT_ROUTED:
            return NOT_ROUTED
        return str(self.row.get("outcome") or self.row.get("job_state") or "nothing")

    @property
    def reason(self) -> str:
        """Why it was not analysed, or what failed; else empty."""
        return str(self.row.get("reason") or self.row.get("error") or "")

    @property
    def differences(self) -> tuple[str, ...]:
        """What is not as it must be, in plain words; empty when all is well."""
        expected = self.case.expected
        problems = []
        if self.found != expected.outcome:
            words = f"the worklist says {self.found} and not {expected.outcome}"
            problems.append(f"{words} ({self.reason})" if self.reason else words)
        elif expected.outcome == ANALYSED:
            problems += self._missing() + self._unexpected()
        return (*problems, *self._absent_from_pacs())

    def _missing(self) -> list[str]:
        wanted = self.case.expected.present - self._labels()
        return [f"the finding {label} is missing" for label in sorted(wanted)]

    def _unexpected(self) -> list[str]:
        extra = self._labels() - self.case.expected.present
        return [f"the finding {label} must not be there" for label in sorted(extra)]

    def _labels(self) -> frozenset[str]:
        return frozenset() if self.report is None else self.report.reading.labels

    def _absent_from_pacs(self) -> list[str]:
        if self.case.expected.outcome not in (ANALYSED, NOT_ANALYSED):
            return []
        if self.report is None:
            return ["the PACS has no Structured Report"]
        return [] if "SR" in self.series else ["C-FIND does not show the report"]


def collect(
    case: Case,
    rows: tuple[Sequence[Row], Sequence[Row]],
    pacs: Pacs,
    calling_ae_title: str,
) -> Outcome:
    """Everything about one study, from the rows of worklist and deliveries."""
    worklist, deliveries = rows
    row = row_of(case, worklist)
    series = find_series(pacs, calling_ae_title, case.study_instance_uid)
    files = [
        (part10, _parsed(part10)) for part10 in pacs.files(case.study_instance_uid)
    ]
    captures = [ds for _, ds in files if ds.Modality == "OT"]
    return Outcome(
        case=case,
        row=row,
        deliveries=tuple(
            one for one in deliveries if one["job_id"] == row.get("job_id")
        ),
        series=tuple(sorted({str(one.Modality) for one in series})),
        report=_report(files),
        captures=tuple(sorted(captures, key=lambda ds: int(ds.InstanceNumber))),
    )


def row_of(case: Case, worklist: Sequence[Row]) -> Row:
    """The newest row of a study, empty when the worklist does not know it."""
    rows = [
        row for row in worklist if row["study_instance_uid"] == case.study_instance_uid
    ]
    return max(rows, key=lambda row: int(str(row["revision"])), default={})


def _parsed(part10: bytes) -> Dataset:
    return dcmread(BytesIO(part10))


def _report(files: Sequence[tuple[bytes, Dataset]]) -> Report | None:
    """The coded report, the newest if there are several revisions."""
    coded = [
        (part10, ds)
        for part10, ds in files
        if ds.Modality == "SR" and ds.SOPClassUID != BasicTextSRStorage
    ]
    if not coded:
        return None
    part10, ds = max(coded, key=lambda one: int(one[1].InstanceNumber))
    return Report(part10, ds, read(ds))
