"""Reconcile: every instance, result, file and row is accounted for, or it is said.

Everything is read in pages, so that a million instances need no more memory than a
thousand. It runs beside the working node: what is younger than the grace is left alone,
and a file that seems to be missing is looked for again at the end, because retention,
purge and the receiver go on meanwhile.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice

from dicomnode.domain.instance import ReceivedInstance
from dicomnode.domain.reconciliation import (
    LOSSES,
    Discrepancy,
    FileFacts,
    Kind,
    StudyFacts,
    Sums,
    before_grace,
    in_file,
    in_study,
)
from dicomnode.errors import ReceiveError, StoreUnreachable, WorklistError
from dicomnode.ports import Clock, Ledger, Mender, ReadHeader, Stock

_PAGE = 500
_MOST_SUSPECTS = 100_000

Tell = Callable[[Discrepancy, bool, str], None]
"""Called for each discrepancy: whether it was repaired, and if not why."""


@dataclass(frozen=True, slots=True)
class ReconcilePolicy:
    """How to look, and whether to repair.

    Younger than the grace is work under way. ``settle`` waits before what seems to be
    missing is looked for again.
    """

    grace_seconds: float = 3600.0
    max_attempts: int = 4
    repair: bool = False
    verify: bool = False
    settle: Callable[[], None] = lambda: None


@dataclass(frozen=True, slots=True)
class Reconciler:
    """Balances the worklist against itself and against both stores."""

    ledger: Ledger
    mender: Mender
    instances: Stock
    results: Stock
    read_header: ReadHeader
    clock: Clock

    def run(self, policy: ReconcilePolicy, tell: Tell) -> Sums:
        """Look at everything, repair if asked to, keep and return the sums.

        Raises WorklistError, StoreUnreachable.
        """
        started = self.clock.now()
        one = _Run(self, policy, tell, before_grace(started, policy.grace_seconds))
        one.look()
        self.ledger.record(started, self.clock.now(), one.sums)
        return one.sums


@dataclass(slots=True)
class _Run:
    """One reconcile; ``before``: what is younger is left alone."""

    of: Reconciler
    policy: ReconcilePolicy
    tell: Tell
    before: datetime
    sums: Sums = field(default_factory=Sums)

    def look(self) -> None:
        """The rows first and the files after them, so that repairs find their rows."""
        ledger = self.of.ledger
        ledger.check()
        self._files_without_row()
        for facts in self._studies():
            self.sums.add_study(facts)
            for found in in_study(facts, self.before):
                self._handle(found)
        self.sums.exclude("other content under a known UID", ledger.conflicts())
        for standing, count in ledger.results().items():
            self.sums.results[standing] += count
        for found in (*ledger.strays(_PAGE), *ledger.wrong_counts()):
            self._handle(found)
        self._rows_without_file()

    def _studies(self) -> Iterator[StudyFacts]:
        after = ""
        while page := self.of.ledger.studies(after, _PAGE):
            yield from page
            after = page[-1].study_instance_uid

    def _files_without_row(self) -> None:
        for stock, are_results in ((self.of.instances, False), (self.of.results, True)):
            kind = Kind.RESULT_WITHOUT_ROW if are_results else Kind.FILE_WITHOUT_ROW
            for page in _pages(stock.locations()):
                self.sums.n_files += len(page)
                named = self.of.ledger.named(page, results=are_results)
                for location in page:
                    if location not in named and self._is_old(stock, location):
                        self._handle(Discrepancy(kind, location))

    def _is_old(self, stock: Stock, location: str) -> bool:
        """Whether a file has been there longer than any work under way lasts."""
        found = stock.measure(location)
        return found is not None and found.written_at < self.before

    def _rows_without_file(self) -> None:
        suspects = list(islice(self._suspects(), _MOST_SUSPECTS))
        if not suspects:
            return
        self.policy.settle()
        for location, is_result in suspects:
            ledger = self.of.ledger
            ask = ledger.result_file if is_result else ledger.instance_file
            row = ask(location)
            found = None if row is None else self._wrong(row, is_result)
            if found is not None:
                self._handle(found)

    def _suspects(self) -> Iterator[tuple[str, bool]]:
        for row in self._instance_rows():
            if row.since < self.before and self._wrong(row, False):
                yield row.location, False
        for row in self._result_rows():
            if row.since < self.before and self._wrong(row, True):
                yield row.location, True

    def _instance_rows(self) -> Iterator[FileFacts]:
        after = ("", -1)
        while page := self.of.ledger.instance_files(after, _PAGE):
            yield from page
            after = (page[-1].sop_instance_uid, page[-1].ordinal)

    def _result_rows(self) -> Iterator[FileFacts]:
        after = -1
        while page := self.of.ledger.result_files(after, _PAGE):
            yield from page
            after = page[-1].number

    def _wrong(self, row: FileFacts, is_result: bool) -> Discrepancy | None:
        stock = self.of.results if is_result else self.of.instances
        found = stock.measure(row.location)
        digest = None
        if found is not None and (self.policy.verify or row.marked):
            try:
                digest = stock.digest(row.location)
            except StoreUnreachable:
                # What an outage hides is not missing.
                raise
            except OSError:
                found = None
        return in_file(row, found, digest, result=is_result)

    def _handle(self, found: Discrepancy) -> None:
        self.sums.found[found.kind] += 1
        why = found.remedy
        repaired = False
        if self.policy.repair:
            try:
                repaired = self._repair(found) and found.kind not in LOSSES
            except (WorklistError, ReceiveError, OSError) as error:
                why = str(error)
        self.sums.n_repaired += repaired
        self.tell(found, repaired, "" if repaired else why)

    def _repair(self, found: Discrepancy) -> bool:
        """Do what is safe; False: nothing is."""
        act = self._acts().get(found.kind)
        if act is None:
            return False
        act(found, self.of.clock.now())
        return True

    def _acts(self) -> Mapping[Kind, Callable[[Discrepancy, datetime], None]]:
        mender = self.of.mender
        return {
            Kind.FILE_WITHOUT_ROW: self._register,
            Kind.FILE_MISSING: self._mark,
            Kind.FILE_DAMAGED: self._mark,
            Kind.FILE_FOUND: lambda one, now: mender.mark_found(one.subject, now),
            Kind.RESULT_MISSING: self._make_again,
            Kind.RESULT_DAMAGED: self._make_again,
            Kind.RESULT_WITHOUT_ROW: self._remove,
            Kind.NO_JOB: lambda one, now: mender.route_again(one.subject, now),
            Kind.NO_RESULT: lambda one, now: mender.rerun(one.subject, now),
            Kind.LEASE_ENDED: self._give_back,
            Kind.WRONG_COUNT: lambda _, now: mender.count_again(now),
        }

    def _register(self, found: Discrepancy, now: datetime) -> None:
        self.of.mender.register([self._received(found.subject, now)])

    def _mark(self, found: Discrepancy, now: datetime) -> None:
        self.of.mender.mark_missing(found.subject, found.detail, now)

    def _make_again(self, found: Discrepancy, now: datetime) -> None:
        # A damaged one would stand in the way of the one that is made again.
        self.of.results.delete(found.subject)
        self.of.mender.result_missing(found.subject, now)

    def _remove(self, found: Discrepancy, now: datetime) -> None:
        self.of.results.delete(found.subject)
        self.of.mender.result_removed(found.subject, now)

    def _give_back(self, _: Discrepancy, now: datetime) -> None:
        self.of.mender.give_back(now, self.policy.max_attempts)

    def _received(self, location: str, now: datetime) -> ReceivedInstance:
        stock = self.of.instances
        measure, digest = stock.measure(location), stock.digest(location)
        if measure is None:
            raise FileNotFoundError(location)
        with stock.open(location) as file:
            return self.of.read_header(file, location, digest, measure.n_bytes, now)


def _pages(locations: Iterable[str]) -> Iterator[Sequence[str]]:
    rest = iter(locations)
    while page := list(islice(rest, _PAGE)):
        yield page
