"""Fault 60: the object store is slow, down, or answers 500 after storing.

A receiver on the loopback, a real worklist, and a real S3 server behind a proxy that
spoils chosen requests.
"""

from __future__ import annotations

import io
import os
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from copy import copy
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from socket import gethostname

import pytest

from dicomnode.errors import ReceiveError, StoreUnreachable
from dicomnode.ports import InstanceStore, Spools
from dicomnode.store.bucket import Bucket, Place
from dicomnode.store.hand_over import ORPHAN_SECONDS, HandOver
from dicomnode.store.objects import ObjectStore
from dicomnode.store.spool import SpoolStore
from dicomnode.worklist.jobs import Jobs
from tests.contract.test_store import DATA_SET, KEY, content
from tests.contract.worklist.making import NOON, current, new_job
from tests.faults.certificates import Authority
from tests.faults.raw import HANG_SECONDS
from tests.faults.spoiling import (
    Fault,
    Held,
    Spoiler,
    corrupted,
    cut,
    cut_after,
    failing,
    failing_after,
    spoiler,
    truncated,
)
from tests.faults.test_storing import Kept
from tests.integration.receiving import associated, receiving, status
from tests.integration.test_receive import made
from tests.object_server import CREDENTIALS, ObjectServer

SHORT_SECONDS = 0.3
NO_CONDITIONS = failing(501, "NotImplemented")


@dataclass
class Site:
    """A node whose object store is behind a proxy.

    ``direct`` goes past the proxy, ``place`` and ``proxied`` go through it.
    """

    kept: Kept
    proxy: Spoiler
    direct: Bucket
    proxied: Bucket
    place: Place
    folder: Path

    def store(self, timeout_seconds: float = HANG_SECONDS) -> ObjectStore:
        """One that gives up after ``timeout_seconds``."""
        bucket = self.bucket(timeout_seconds)
        return ObjectStore(bucket, self.folder / "staging", 100, 1 << 20)

    def bucket(self, timeout_seconds: float = HANG_SECONDS) -> Bucket:
        """Through the proxy, with a client that is there already."""
        found = copy(self.proxied)
        found._place = replace(self.place, timeout_seconds=timeout_seconds)
        return found

    def objects(self) -> list[str]:
        """What is stored, whatever the proxy does."""
        return [one.name for one in self.direct.objects()]

    def staged(self) -> list[str]:
        """Files that came in and are not gone."""
        staging = (self.folder / "staging").rglob("*")
        return [path.name for path in staging if path.is_file()]

    def sent(self, store: InstanceStore, uid: str = "1.2.3.4.5.6") -> int | None:
        """The status of one C-STORE."""
        one = made(uid=uid)
        with (
            receiving(
                self.kept.root, store=store, intake=self.kept.worklist.intake
            ) as node,
            associated(node.port, [one.context]) as association,
        ):
            return status(association, one)

    def down(self) -> None:
        """Let nothing through."""
        self.proxy.always = cut

    def up(self) -> None:
        """Let everything through."""
        self.proxy.always = None


@pytest.fixture(scope="module")
def proxied(s3_server: ObjectServer) -> Iterator[tuple[Spoiler, Bucket]]:
    with spoiler(s3_server.port) as proxy:
        endpoint = f"http://127.0.0.1:{proxy.port}"
        yield proxy, Bucket(Place("", "", endpoint, timeout_seconds=HANG_SECONDS))


@pytest.fixture
def site(
    tmp_path: Path, s3_server: ObjectServer, proxied: tuple[Spoiler, Bucket]
) -> Iterator[Site]:
    proxy, bucket = proxied
    proxy.reset()
    kept = Kept(tmp_path)
    place = s3_server.new_place()
    behind = replace(place, endpoint=f"http://127.0.0.1:{proxy.port}")
    yield Site(kept, proxy, s3_server.opened(place), bucket, behind, tmp_path)
    kept.worklist.close()


FAULTS: dict[str, Fault] = {
    "500 before": failing(500, "InternalError"),
    "500 after storing": failing_after(),
    "503": failing(503, "SlowDown"),
    "cut before": cut,
    "cut after storing": cut_after,
    "a bit turned on the way": corrupted,
    "no conditions known": NO_CONDITIONS,
}


@pytest.mark.parametrize("name", FAULTS)
def test_60_a_spoilt_put_is_tried_again_and_makes_one_object(
    site: Site, name: str
) -> None:
    site.proxy.spoil("PUT", FAULTS[name])
    store = site.store()
    assert site.sent(store) == 0
    (location,) = site.objects()
    assert content(store, location).endswith(made().data_set)
    assert len(site.proxy.paths("PUT")) >= 2
    assert site.kept.rows() == ["1.2.3.4.5.6"]
    assert not site.staged()


def test_60_down_gives_no_success_and_leaves_nothing(site: Site) -> None:
    site.down()
    store = site.store(SHORT_SECONDS)
    assert site.sent(store) == 0xA700
    assert not site.objects()
    assert not site.kept.rows()
    assert not site.staged()
    (told,) = site.kept.told("instance refuse")
    assert "store.endpoint" in told
    site.up()
    assert site.sent(site.store()) == 0
    assert len(site.objects()) == len(site.kept.rows()) == 1


def test_60_refused_by_its_policy_it_is_not_tried_again(site: Site) -> None:
    site.proxy.spoil("PUT", failing(403, "AccessDenied"))
    assert site.sent(site.store()) == 0xA700
    assert len(site.proxy.paths("PUT")) == 1
    (told,) = site.kept.told("instance refuse")
    assert "credentials" in told


def test_60_no_success_before_it_is_stored_however_slow(site: Site) -> None:
    held = Held()
    site.proxy.spoil("PUT", held)
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(site.sent, site.store())
        assert held.stored.wait(HANG_SECONDS)
        # The server has it, and we do not know that yet.
        assert not answer.done()
        assert not site.kept.rows()
        held.go_on.set()
        assert answer.result() == 0
    assert site.kept.rows() == ["1.2.3.4.5.6"]


def test_60_one_that_never_answers_is_given_up_in_time(site: Site) -> None:
    held = Held()
    site.proxy.always = held
    place = replace(site.place, timeout_seconds=SHORT_SECONDS)
    store = ObjectStore(Bucket(place), site.folder / "staging", 100, 0)
    assert site.sent(store) == 0xA700
    assert not site.kept.rows()
    held.go_on.set()


def test_60_given_up_after_storing_the_resent_instance_lands_on_it(
    site: Site,
) -> None:
    """No attempt is answered in time, though the first has stored it."""
    site.proxy.always = failing_after()
    assert site.sent(site.store(SHORT_SECONDS)) == 0xA700
    until(lambda: len(site.objects()) == 1)
    assert not site.kept.rows()
    site.up()
    before = len(site.proxy.paths("PUT"))
    assert site.sent(site.store()) == 0
    assert len(site.proxy.paths("PUT")) == before + 1
    assert len(site.objects()) == len(site.kept.rows()) == 1


def test_60_other_bytes_under_the_name_are_replaced(site: Site) -> None:
    """By somebody who writes into the bucket, or a server that stored a spoilt PUT."""
    store = site.store()
    stored = store.put(KEY, [DATA_SET])
    site.direct._client.put_object(
        Bucket=site.place.bucket,
        Key=f"{site.place.prefix}/{stored.location}",
        Body=b"other",
    )
    with pytest.raises(StoreUnreachable, match="reconcile --verify"):
        site.store().open(stored.location)
    assert store.put(KEY, [DATA_SET]) == stored
    assert content(site.store(), stored.location).endswith(DATA_SET)


def test_60_a_read_that_breaks_off_begins_anew(site: Site) -> None:
    stored = site.store().put(KEY, [DATA_SET])
    site.proxy.spoil("GET", cut, truncated, failing(503, "SlowDown"))
    assert content(site.store(), stored.location).endswith(DATA_SET)
    assert len(site.proxy.paths("GET")) == 4


def test_60_what_cannot_be_read_is_not_missing(site: Site) -> None:
    stored = site.store().put(KEY, [DATA_SET])
    site.down()
    with pytest.raises(StoreUnreachable) as caught:
        site.store(SHORT_SECONDS).open(stored.location)
    assert not isinstance(caught.value, FileNotFoundError)
    assert caught.value.retryable


def test_60_what_was_read_is_read_again_without_the_server(site: Site) -> None:
    store = site.store()
    locations = [
        store.put(replace(KEY, sop_instance_uid=f"1.2.{n}"), [DATA_SET]).location
        for n in range(3)
    ]
    for location in locations:
        content(store, location)
    first = store.open(locations[0])
    site.down()
    second = store.open(locations[0])
    assert first.read() == second.read() != b""
    first.close()
    second.close()
    small = ObjectStore(site.bucket(), site.folder / "small", 100, 1)
    site.up()
    asked = len(site.proxy.paths("GET"))
    for _ in range(2):
        content(small, locations[0])
    assert len(site.proxy.paths("GET")) == asked + 2


def test_60_what_is_set_aside_needs_no_object_store(site: Site) -> None:
    site.down()
    incoming = site.store(SHORT_SECONDS).stage(KEY)
    incoming.write([DATA_SET])
    name = incoming.set_aside()
    assert site.staged() == [name]
    assert not site.objects()


# with a spool


@dataclass
class Spooling:
    """A spool and what hands it over; ``hand_over`` may be started once."""

    store: SpoolStore
    root: Path
    bucket: Bucket

    def hand_over(self, rows: Spools | None = None) -> HandOver:
        """As a process that starts now has it."""
        return HandOver(self.root, self.bucket, look_seconds=0.01, rows=rows)

    def spooled(self) -> list[Path]:
        """Instances that wait; folders may go while it looks."""
        found = (
            Path(folder) / name
            for folder, _, names in os.walk(self.root)
            for name in names
        )
        return [path for path in found if path.suffix == ".dcm"]


@pytest.fixture
def spooling(site: Site) -> Spooling:
    root = site.folder / "instances"
    return Spooling(SpoolStore(site.store(), root, 100), root, site.bucket())


def until(condition: Callable[[], bool]) -> None:
    """Wait for what another thread does."""
    waiting = threading.Event()
    for _ in range(HANG_SECONDS * 100):
        if condition():
            return
        waiting.wait(0.01)
    raise AssertionError("it did not come")


def test_60_spooled_instances_are_taken_while_it_is_down_and_follow_later(
    site: Site, spooling: Spooling
) -> None:
    site.down()
    uids = [f"1.2.3.4.5.{n}" for n in range(6, 11)]
    with ExitStack() as stopping:
        impatient = replace(spooling, bucket=site.bucket(SHORT_SECONDS))
        hand_over = impatient.hand_over()
        hand_over.start()
        stopping.callback(hand_over.stop)
        assert [site.sent(spooling.store, uid) for uid in uids] == [0] * 5
        until(lambda: len(site.proxy.paths("PUT")) > 4)
    assert set(site.kept.rows()) == set(uids)
    locations = {
        path.relative_to(spooling.root).as_posix() for path in spooling.spooled()
    }
    assert not site.objects()
    for location in locations:
        assert content(spooling.store, location)
    # The process was stopped and is started again; what it left goes on.
    site.up()
    with ExitStack() as stopping:
        hand_over = spooling.hand_over()
        hand_over.start()
        stopping.callback(hand_over.stop)
        until(lambda: not spooling.spooled())
    assert set(site.objects()) == locations
    assert set(spooling.store.locations()) == locations
    for location in locations:
        assert content(spooling.store, location)


def test_60_a_hand_over_that_begins_before_its_store_has_a_folder(site: Site) -> None:
    root = site.folder / "not" / "there"
    hand_over = HandOver(root, site.bucket(), look_seconds=0.01)
    hand_over.start()
    try:
        until(root.is_dir)
        SpoolStore(site.store(), root, 100).put(KEY, [DATA_SET])
        until(lambda: bool(site.objects()))
        assert hand_over.is_alive
    finally:
        hand_over.stop()


def test_60_the_oldest_leaves_the_spool_first(site: Site, spooling: Spooling) -> None:
    keys = [replace(KEY, sop_instance_uid=f"1.2.{n}") for n in (5, 3, 9, 1, 7)]
    for second, key in enumerate(keys, 1):
        path = spooling.root / spooling.store.put(key, [DATA_SET]).location
        # The clock of a file system stands still for milliseconds.
        os.utime(path, (second, second))
    with ThreadPoolExecutor(1) as pool:
        spooling.hand_over().once(pool)
    names = [path.rsplit("/", 1)[1] for path in site.proxy.paths("PUT")]
    assert [name.split(".")[2] for name in names] == ["5", "3", "9", "1", "7"]
    assert not spooling.spooled()


def test_60_one_that_is_refused_does_not_hold_up_the_others(
    site: Site, spooling: Spooling
) -> None:
    keys = [replace(KEY, sop_instance_uid=f"1.2.{n}") for n in range(6)]
    locations = [spooling.store.put(key, [DATA_SET]).location for key in keys]
    (spooling.root / locations[0]).write_bytes(b"damaged" * 100)
    with ThreadPoolExecutor(1) as pool:
        spooling.hand_over().once(pool)
    assert set(site.objects()) == set(locations[1:])
    assert [path.name for path in spooling.spooled()] == [locations[0].split("/")[2]]


def test_60_what_is_purged_during_the_hand_over_is_no_object_after(
    site: Site, spooling: Spooling
) -> None:
    stored = spooling.store.put(KEY, [DATA_SET])
    held = Held()
    site.proxy.spoil("PUT", held)
    with ThreadPoolExecutor(2) as pool:
        done = pool.submit(HandOver(spooling.root, site.bucket()).once, pool)
        assert held.stored.wait(HANG_SECONDS)
        spooling.store.delete(stored.location)
        held.go_on.set()
        done.result()
    assert not site.objects()
    assert not spooling.spooled()


def test_60_a_killed_hand_over_is_made_again_without_a_double(
    site: Site, spooling: Spooling
) -> None:
    """Killed between the put and the removal: the object is there, the file too."""
    stored = spooling.store.put(KEY, [DATA_SET])
    with spooling.store.open(stored.location) as file:
        site.direct.put(stored.location, file.fileno(), stored.sha256)
    assert list(spooling.store.locations()) == [stored.location]
    with ThreadPoolExecutor(1) as pool:
        spooling.hand_over().once(pool)
    assert site.objects() == [stored.location]
    assert not spooling.spooled()


def test_60_only_one_process_hands_over(site: Site, spooling: Spooling) -> None:
    held = Held()
    spooling.store.put(KEY, [DATA_SET])
    site.proxy.spoil("PUT", held)
    bucket = site.bucket()
    first, second = (HandOver(spooling.root, bucket, 0.01) for _ in range(2))
    first.start()
    assert held.stored.wait(HANG_SECONDS)
    second.start()
    second.stop()
    held.go_on.set()
    until(lambda: not spooling.spooled())
    first.stop()
    assert len(site.proxy.paths("PUT")) == 1


def test_60_a_study_waits_for_the_spool_of_a_host_that_is_away(
    site: Site, spooling: Spooling
) -> None:
    """Received on one host, which goes away; a worker on another does not claim it."""
    worklist = site.kept.worklist
    assert site.sent(spooling.store) == 0
    [location] = list(spooling.store.locations())
    study = worklist.views.worklist()[0]["study_instance_uid"]
    assert worklist.studies.complete(current(worklist, study), NOON)
    jobs = [new_job(study)]
    assert worklist.studies.route(current(worklist, study), jobs, "", NOON)
    elsewhere = Jobs(worklist._database, "another-host")
    later = datetime.now(UTC) + timedelta(days=1)
    assert not elsewhere.claim("w1", ["cxr"], later, 60)
    with pytest.raises(FileNotFoundError):
        site.store().open(location)
    [waits] = worklist.views.spools()
    assert (waits["host"], waits["n_studies"]) == (gethostname(), 1)
    # It is back, and hands over what it had.
    with ThreadPoolExecutor(1) as pool:
        spooling.hand_over(worklist.spools).once(pool)
    assert site.objects() == [location]
    assert not spooling.spooled()
    assert [one.job_id for one in elsewhere.claim("w1", ["cxr"], later, 60)]
    assert content(site.store(), location)


def test_60_a_file_whose_row_is_still_to_come_stays_in_the_spool(
    site: Site, spooling: Spooling
) -> None:
    """Else its row would name a spool that it has left, and its study wait for ever."""
    stored = spooling.store.put(KEY, [DATA_SET])
    hand_over = spooling.hand_over(site.kept.worklist.spools)
    with ThreadPoolExecutor(1) as pool:
        hand_over.once(pool)
        assert spooling.spooled()
        assert not site.objects()
        # Nobody was told of it, and by now nobody will be: reconcile finds the object.
        old = time.time() - ORPHAN_SECONDS - 1
        os.utime(spooling.root / stored.location, (old, old))
        hand_over.once(pool)
    assert site.objects() == [stored.location]
    assert not spooling.spooled()


def test_60_what_was_purged_while_its_host_was_away_is_not_handed_over(
    site: Site, spooling: Spooling
) -> None:
    worklist = site.kept.worklist
    assert site.sent(spooling.store) == 0
    study = worklist.views.worklist()[0]["study_instance_uid"]
    worklist.upkeep.forget_files(study, datetime.now(UTC))
    [path] = spooling.spooled()
    old = time.time() - ORPHAN_SECONDS - 1
    os.utime(path, (old, old))
    with ThreadPoolExecutor(1) as pool:
        spooling.hand_over(worklist.spools).once(pool)
    assert not site.objects()
    assert not spooling.spooled()


def test_60_a_full_spool_refuses(site: Site, spooling: Spooling) -> None:
    full = SpoolStore(site.store(), spooling.root, watermark_percent=0.0001)
    with pytest.raises(ReceiveError, match="watermark_percent") as caught:
        full.put(KEY, io.BytesIO(DATA_SET))
    assert caught.value.status == 0xA700


# the way there


def test_60_a_server_of_an_unknown_authority_gets_nothing(
    tmp_path: Path, s3_server: ObjectServer
) -> None:
    ours, others = Authority(tmp_path), Authority(tmp_path, "Another CA")
    identity = ours.issue("objects")
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(identity.certificate, identity.private_key)
    place = s3_server.new_place()
    with spoiler(s3_server.port, tls) as proxy:
        for ca in (ours.pem, others.pem, None):
            secure = replace(
                place,
                endpoint=f"https://127.0.0.1:{proxy.port}",
                ca=ca,
                timeout_seconds=HANG_SECONDS if ca == ours.pem else SHORT_SECONDS,
            )
            store = ObjectStore(Bucket(secure), tmp_path / "staging", 100, 0)
            if ca == ours.pem:
                assert store.put(KEY, [DATA_SET])
            else:
                with pytest.raises(ReceiveError, match=r"store\.ca") as caught:
                    store.put(KEY, [DATA_SET])
                assert caught.value.status == 0xA700
    assert len(list(s3_server.opened(place).objects())) == 1


def test_60_a_file_of_credentials_is_used_where_the_environment_has_none(
    tmp_path: Path, s3_server: ObjectServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in CREDENTIALS:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nonexistent")
    place = s3_server.new_place()
    with pytest.raises(StoreUnreachable, match="credentials") as caught:
        Bucket(place).probe()
    file = tmp_path / "aws_credentials"
    file.write_text("[default]\naws_access_key_id = a\naws_secret_access_key = hunter2")
    Bucket(replace(place, credentials=file)).probe()
    assert "hunter2" not in str(caught.value)
