"""Reconcile, purge and retention with instances and results in an object store."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest

from dicomnode.domain.reconciliation import Kind, Sums
from dicomnode.errors import StoreUnreachable
from dicomnode.housekeeping.purging import Purger
from dicomnode.housekeeping.reconciling import ReconcilePolicy, Reconciler
from dicomnode.ports import InstanceStore, Stock
from dicomnode.processes.reconcile import Header
from dicomnode.store import Inspection
from dicomnode.store.bucket import Bucket
from dicomnode.store.hand_over import HandOver
from dicomnode.store.object_stock import ObjectInspection
from dicomnode.store.objects import ObjectStore
from dicomnode.store.read_objects import ReadObjects
from dicomnode.store.spool import SpoolInspection, SpoolStore
from dicomnode.worklist import Worklist
from tests.contract.worklist.making import NOON, delivered
from tests.contract.worklist.test_reconciling import STUDY, Bench
from tests.object_server import ObjectServer


class FarAhead:
    """When everything that a server has just stored is old."""

    def now(self) -> datetime:
        return datetime(2100, 1, 1, tzinfo=UTC)


@dataclass
class ObjectBench(Bench):
    """A worklist with both stores in buckets; ``spools``: by way of the disk."""

    server: ObjectServer | None = None
    spools: bool = False

    def __post_init__(self) -> None:
        assert self.server
        self.buckets = [self.server.new_bucket() for _ in range(2)]
        instances, results = (
            ObjectStore(bucket, self.folder / "staging", 100, 1 << 20)
            for bucket in self.buckets
        )
        self.objects = instances
        spool = self.folder / "instances"
        self.instances: InstanceStore = (
            SpoolStore(instances, spool, 100) if self.spools else instances
        )
        self.results: InstanceStore = results

    def age(self, path: Path) -> None:
        """Nothing here is young; see FarAhead."""

    def stocks(self) -> list[Stock]:
        found: list[Stock] = []
        for bucket in self.buckets:
            read = ReadObjects(bucket, self.folder / "staging", 0)
            found.append(ObjectInspection(bucket, read))
        if self.spools:
            spool = Inspection(self.folder / "instances")
            found[0] = SpoolInspection(spool, found[0])
        return found

    def reconcile(
        self,
        repair: bool = False,
        verify: bool = False,
        settle: Callable[[], None] = lambda: None,
    ) -> Sums:
        self.found.clear()
        reconciler = Reconciler(
            self.worklist.ledger,
            self.worklist.mender,
            *self.stocks(),
            Header(()),
            FarAhead(),
        )
        policy = ReconcilePolicy(3600, repair=repair, verify=verify, settle=settle)
        return reconciler.run(policy, self.tell)

    def hand_over(self) -> None:
        """Have everything spooled moved to the bucket."""
        with ThreadPoolExecutor(1) as pool:
            HandOver(self.folder / "instances", self.buckets[0]).once(pool)

    def overwrite(self, bucket: Bucket, location: str, content: bytes) -> None:
        place = bucket._place
        bucket._client.put_object(
            Bucket=place.bucket, Key=f"{place.prefix}/{location}", Body=content
        )


@pytest.fixture(params=[False, True], ids=["objects", "spool"])
def bench(
    request: pytest.FixtureRequest,
    worklist: Worklist,
    tmp_path: Path,
    s3_server: ObjectServer,
) -> ObjectBench:
    return ObjectBench(worklist, tmp_path, server=s3_server, spools=request.param)


def location_of(path: Path) -> str:
    return "/".join(path.parts[-3:])


def test_a_node_at_rest_is_balanced(bench: ObjectBench) -> None:
    bench.keep(1)
    bench.keep(2)
    bench.finish("PACS")
    delivered(bench.worklist)
    sums = bench.reconcile(verify=True)
    assert sums.balanced, bench.found
    assert sums.as_record()["n_files"] == 3


def test_a_file_without_row_is_recorded(bench: ObjectBench) -> None:
    orphan = bench.put(1)
    assert not bench.reconcile().balanced
    assert bench.found == [(Kind.FILE_WITHOUT_ROW, orphan.stored.location, False)]
    assert bench.reconcile(repair=True).balanced
    (kept,) = bench.worklist.studies.instances(STUDY)
    assert kept.location == orphan.stored.location


def test_a_row_without_file_is_marked_and_found_again(bench: ObjectBench) -> None:
    location = location_of(bench.keep(1))
    bench.instances.delete(location)
    assert not bench.reconcile(repair=True).balanced
    assert bench.kinds() == [Kind.FILE_MISSING]
    bench.put(1)
    assert bench.reconcile(repair=True).balanced
    assert bench.kinds() == [Kind.FILE_FOUND]


def test_a_damaged_object_is_found_when_verified(bench: ObjectBench) -> None:
    location = location_of(bench.keep(1))
    bench.hand_over()
    with bench.instances.open(location) as file:
        whole = file.read()
    bench.overwrite(bench.buckets[0], location, whole[:-1] + b"!")
    assert bench.reconcile().balanced
    assert not bench.reconcile(verify=True).balanced
    assert bench.kinds() == [Kind.FILE_DAMAGED]


def test_a_result_without_row_is_removed(bench: ObjectBench) -> None:
    result = bench.result("PACS")
    assert not bench.reconcile(repair=True).found[Kind.FILE_MISSING]
    assert bench.found == [(Kind.RESULT_WITHOUT_ROW, result.location, True)]
    assert not list(bench.results.locations())


def test_an_outage_hides_and_marks_nothing(
    bench: ObjectBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.keep(1)

    def down(*_: object, **__: object) -> None:
        raise StoreUnreachable("the object store failed; check the network")

    for bucket in bench.buckets:
        monkeypatch.setattr(bucket, "_persistently", down)
    with pytest.raises(StoreUnreachable):
        bench.reconcile(repair=True, verify=True)
    assert not bench.found
    monkeypatch.undo()
    assert bench.reconcile().balanced


def test_a_purged_study_leaves_neither_objects_nor_rows(bench: ObjectBench) -> None:
    bench.keep(1)
    bench.keep(2)
    bench.finish("PACS")
    purger = Purger(bench.worklist.purge, bench.instances, bench.results)
    assert purger.run(STUDY, NOON, "ann", "asked for") == 3
    for stock in bench.stocks():
        assert not list(stock.locations())
    assert not bench.worklist.studies.instances(STUDY)
