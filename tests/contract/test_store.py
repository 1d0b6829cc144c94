"""The contract of InstanceStore: in memory, on the local disk, in a bucket, spooled.

The bucket is on a real server of the S3 protocol, over HTTP.
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom import dcmread

from dicomnode.domain.instance import InstanceKey
from dicomnode.errors import Unreadable
from dicomnode.ports import InstanceStore
from dicomnode.store import LocalStore
from dicomnode.store.hand_over import HandOver
from dicomnode.store.objects import ObjectStore
from dicomnode.store.spool import SpoolStore
from tests.contract.fakes import MemoryStore

KEY = InstanceKey(
    study_instance_uid="1.2.3.4",
    series_instance_uid="1.2.3.4.5",
    sop_instance_uid="1.2.3.4.5.6",
    sop_class_uid="1.2.840.10008.5.1.4.1.1.7",
    transfer_syntax_uid="1.2.840.10008.1.2.1",
)
# (0008,0018) UI of KEY, Explicit VR Little Endian.
DATA_SET = b"\x08\x00\x18\x00UI\x0c\x001.2.3.4.5.6\x00"


STORES = ["memory", "local", "object", "spool", "spool handed over"]


@pytest.fixture(params=STORES)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[InstanceStore]:
    root = tmp_path / "instances"
    if request.param == "memory":
        yield MemoryStore()
    elif request.param == "local":
        yield LocalStore(root, watermark_percent=100)
    else:
        bucket = request.getfixturevalue("s3_server").new_bucket()
        objects = ObjectStore(bucket, tmp_path / "staging", 100, 1 << 20)
        if request.param == "object":
            yield objects
            return
        spool = SpoolStore(objects, root, watermark_percent=100)
        hand_over = HandOver(root, bucket, look_seconds=0.01)
        if request.param == "spool handed over":
            hand_over.start()
            yield spool
            hand_over.stop()
        else:
            yield spool


def content(store: InstanceStore, location: str) -> bytes:
    with store.open(location) as file:
        return file.read()


def test_a_stored_instance_is_a_part10_file_with_the_bytes_as_transmitted(
    store: InstanceStore,
) -> None:
    stored = store.put(KEY, [DATA_SET[:5], memoryview(DATA_SET)[5:]])
    assert stored.n_bytes == len(DATA_SET)
    assert stored.sha256 == sha256(DATA_SET).hexdigest()
    assert content(store, stored.location).endswith(DATA_SET)
    with store.open(stored.location) as file:
        ds = dcmread(file)
    assert ds.file_meta.TransferSyntaxUID == KEY.transfer_syntax_uid
    assert ds.file_meta.MediaStorageSOPClassUID == KEY.sop_class_uid
    assert ds.file_meta.MediaStorageSOPInstanceUID == KEY.sop_instance_uid
    assert ds.SOPInstanceUID == KEY.sop_instance_uid


def test_file_meta_is_conformant(store: InstanceStore) -> None:
    stored = store.put(KEY, [DATA_SET])
    with store.open(stored.location) as file:
        meta = dcmread(file).file_meta
    # PS3.10 Table 7.1-1.
    assert meta.FileMetaInformationVersion == b"\x00\x01"
    assert meta.ImplementationClassUID.startswith("2.25.")
    assert meta.ImplementationVersionName == "DICOMNODE_0_1"
    whole = content(store, stored.location)
    length = 128 + 4 + 12 + meta.FileMetaInformationGroupLength
    assert len(whole) == length + len(DATA_SET)


def test_an_odd_buffer_is_kept_too(store: InstanceStore) -> None:
    stored = store.put(KEY, [bytearray(DATA_SET), b"", b"\x01"])
    assert content(store, stored.location).endswith(DATA_SET + b"\x01")


def test_the_same_content_again_gives_the_same_location(store: InstanceStore) -> None:
    assert store.put(KEY, [DATA_SET]) == store.put(KEY, [DATA_SET])
    assert len(list(store.locations())) == 1


def test_other_content_under_the_same_uid_is_kept_beside_the_first(
    store: InstanceStore,
) -> None:
    first = store.put(KEY, [DATA_SET])
    second = store.put(KEY, [DATA_SET, b"other"])
    assert first.location != second.location
    assert content(store, first.location).endswith(DATA_SET)
    assert content(store, second.location).endswith(b"other")
    assert set(store.locations()) == {first.location, second.location}


def test_eight_threads_with_the_same_instance_make_one_file(
    store: InstanceStore,
) -> None:
    with ThreadPoolExecutor(8) as pool:
        stored = set(pool.map(lambda _: store.put(KEY, [DATA_SET]), range(40)))
    assert len(stored) == 1
    assert list(store.locations()) == [stored.pop().location]


def test_threads_with_different_instances_keep_all(store: InstanceStore) -> None:
    keys = [replace(KEY, sop_instance_uid=f"1.2.{n}") for n in range(40)]
    with ThreadPoolExecutor(8) as pool:
        stored = list(pool.map(lambda key: store.put(key, [DATA_SET]), keys))
    assert {one.location for one in stored} == set(store.locations())
    assert len(stored) == 40


def test_what_is_deleted_is_gone_and_may_be_deleted_again(store: InstanceStore) -> None:
    stored = store.put(KEY, [DATA_SET])
    store.delete(stored.location)
    store.delete(stored.location)
    assert not list(store.locations())
    with pytest.raises(FileNotFoundError):
        store.open(stored.location)
    assert store.put(KEY, [DATA_SET]) == stored


@pytest.mark.parametrize(
    "location", ["", "../secret", "/etc/passwd", "aa/../../x", "aa/1.2/x.dcm", "aa"]
)
def test_what_is_no_location_is_neither_opened_nor_deleted(
    store: InstanceStore, tmp_path: Path, location: str
) -> None:
    (tmp_path / "secret").write_bytes(b"secret")
    with pytest.raises(FileNotFoundError):
        store.open(location)
    with pytest.raises(FileNotFoundError):
        store.delete(location)
    assert (tmp_path / "secret").read_bytes() == b"secret"


def test_usage_leaves_room(store: InstanceStore) -> None:
    usage = store.usage()
    assert 0 < usage.free_bytes <= usage.total_bytes
    assert 0 <= usage.used_percent <= 100


def test_usage_is_what_df_says(tmp_path: Path) -> None:
    words = ["df", "--output=used,avail,pcent", "--block-size=1", str(tmp_path)]
    line = subprocess.run(words, capture_output=True, check=True, text=True).stdout
    used, available, percent = line.split("\n")[1].replace("%", "").split()
    usage = LocalStore(tmp_path / "store", 100.0).usage()
    assert usage.total_bytes == pytest.approx(int(used) + int(available), rel=0.01)
    assert usage.used_percent == pytest.approx(int(percent), abs=1.5)


def test_sweeping_leaves_finished_files_alone(store: InstanceStore) -> None:
    stored = store.put(KEY, [DATA_SET])
    assert store.sweep(datetime.now(UTC)) == 0
    assert list(store.locations()) == [stored.location]


def test_components_with_leading_zeros_are_tolerated(store: InstanceStore) -> None:
    stored = store.put(replace(KEY, study_instance_uid="1.2.003"), [DATA_SET])
    assert "1.2.003" in stored.location


HOSTILE = [
    "",
    ".",
    "..",
    "../../etc/passwd",
    "/etc/passwd",
    "1.2/../../3",
    "1..2",
    ".1.2",
    "1.2.",
    "1.2\0",
    "1.2 ",
    "1.2\n",
    "1" * 65,
    "CON",
    "1.2.three",
    "１.２",
    "1.2%2e%2e",
    "~root",
    "-rf",
]


@pytest.mark.parametrize("uid", HOSTILE)
@pytest.mark.parametrize(
    "name", ["study_instance_uid", "series_instance_uid", "sop_instance_uid"]
)
def test_a_hostile_uid_is_refused(
    tmp_path: Path, store: InstanceStore, name: str, uid: str
) -> None:
    changes = {name: uid}
    with pytest.raises(Unreadable, match="send it again"):
        store.put(replace(KEY, **changes), [DATA_SET])
    assert not list(store.locations())
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


uids = st.one_of(
    st.text(max_size=70),
    st.text("0123456789./\\\0 ", max_size=70),
    st.from_regex(r"[0-9]{1,9}(\.[0-9]{1,9}){0,6}", fullmatch=True),
)


@settings(
    deadline=None,
    max_examples=150,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(study=uids, instance=uids, syntax=uids)
def test_nothing_is_ever_written_outside(
    tmp_path: Path, study: str, instance: str, syntax: str
) -> None:
    root = tmp_path / "deep" / "instances"
    store = LocalStore(root, watermark_percent=100)
    key = replace(
        KEY,
        study_instance_uid=study,
        sop_instance_uid=instance,
        transfer_syntax_uid=syntax,
    )
    outcome = _location_or_refusal(lambda: store.put(key, [DATA_SET]).location)
    inside = {path for path in root.rglob("*") if path.is_file()}
    assert {path for path in tmp_path.rglob("*") if path.is_file()} == inside
    assert outcome is None or (root / outcome) in inside
    assert all(path.parent.parent.parent == root for path in inside)


def _location_or_refusal(put: Callable[[], str]) -> str | None:
    try:
        return put()
    except Unreadable:
        return None
