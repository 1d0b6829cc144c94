"""What the local store does when the disk does not do its part."""

from __future__ import annotations

import errno
import os
import stat
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from dicomnode.errors import ConfigError, ReceiveError, StoreFull
from dicomnode.ports import Usage
from dicomnode.store import LocalStore, file_meta
from tests.contract.test_store import DATA_SET, KEY


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "instances"


@pytest.fixture
def store(root: Path) -> LocalStore:
    return LocalStore(root, watermark_percent=100)


def files(root: Path) -> list[Path]:
    return [path for path in root.rglob("*") if path.is_file()]


def failing(monkeypatch: pytest.MonkeyPatch, call: str, number: int) -> None:
    """Let ``os.<call>`` fail with ``number`` from now on."""

    def fail(*_args: object, **_kwargs: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, call, fail)


@pytest.mark.parametrize("call", ["writev", "fsync", "rename"])
@pytest.mark.parametrize(
    "number", [errno.EIO, errno.EMFILE, errno.ENOSPC, errno.EDQUOT]
)
def test_a_failing_call_refuses_and_leaves_nothing(
    store: LocalStore,
    root: Path,
    monkeypatch: pytest.MonkeyPatch,
    call: str,
    number: int,
) -> None:
    failing(monkeypatch, call, number)
    with pytest.raises(ReceiveError) as caught:
        store.put(KEY, [DATA_SET])
    assert caught.value.status == 0xA700
    assert isinstance(caught.value, StoreFull) == (
        number not in {errno.EIO, errno.EMFILE}
    )
    monkeypatch.undo()
    assert not files(root)
    assert store.put(KEY, [DATA_SET]).n_bytes == len(DATA_SET)


def test_a_failed_fsync_is_not_tried_again(
    store: LocalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.put(KEY, [DATA_SET])
    calls = []

    def fail(fd: int) -> None:
        calls.append(fd)
        raise OSError(errno.EIO, "injected")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(ReceiveError):
        store.put(KEY, [b"other"])
    assert len(calls) == 1


def test_a_failed_sync_of_a_folder_is_not_believed_the_second_time(
    store: LocalStore, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However often it fails: what a Success rests on was made after the failure."""
    real, failures = os.fsync, [1, 1, 1]

    def fail_on_folders(fd: int) -> None:
        if failures and stat.S_ISDIR(os.fstat(fd).st_mode):
            failures.pop()
            raise OSError(errno.EIO, "injected")
        real(fd)

    monkeypatch.setattr(os, "fsync", fail_on_folders)
    for _ in range(2):
        with pytest.raises(ReceiveError):
            store.put(KEY, [DATA_SET])
        assert not list(root.iterdir())  # the parents failed: the folders are made anew
    store._folders._sync_parents = lambda *_: None  # type: ignore[method-assign]
    with pytest.raises(ReceiveError):
        store.put(KEY, [DATA_SET])
    calls = recorded(monkeypatch)
    stored = store.put(KEY, [DATA_SET])
    assert calls[-2:] == ["rename", f"fsync:{(root / stored.location).parent}"]
    assert [path.suffix for path in files(root)] == [".dcm"]


def test_a_sender_that_breaks_off_leaves_nothing(store: LocalStore, root: Path) -> None:
    def chunks() -> Iterator[bytes]:
        yield DATA_SET
        raise ConnectionResetError(errno.ECONNRESET, "injected")

    with pytest.raises(ReceiveError):
        store.put(KEY, chunks())
    assert not files(root)


def test_an_error_of_the_program_leaves_nothing_either(
    store: LocalStore, root: Path
) -> None:
    def chunks() -> Iterator[bytes]:
        yield DATA_SET
        raise RuntimeError("injected")

    with pytest.raises(RuntimeError, match="injected"):
        store.put(KEY, chunks())
    assert not files(root)


def test_a_full_disk_is_store_full(root: Path) -> None:
    """A real limit of the kernel, in a process of its own: no file beyond 64 KiB."""
    program = f"""
import resource
from pathlib import Path
from tests.contract.test_store import DATA_SET, KEY
from dicomnode.errors import StoreFull
from dicomnode.store import LocalStore
resource.setrlimit(resource.RLIMIT_FSIZE, (65536, 65536))
store = LocalStore(Path({str(root)!r}), watermark_percent=100)
try:
    store.put(KEY, [bytes(40000), bytes(40000)])
except StoreFull as error:
    assert error.status == 0xA700, error
else:
    raise SystemExit("no StoreFull")
store.put(KEY, [DATA_SET])
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)
    assert [path.suffix for path in files(root)] == [".dcm"]


def test_above_the_watermark_nothing_is_read_or_written(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [0.0]
    store = LocalStore(root, watermark_percent=90, monotonic=lambda: now[0])
    usages = [Usage(100, 10), Usage(100, 11)]
    monkeypatch.setattr(LocalStore, "usage", lambda _self: usages.pop(0))

    read = []

    def untouched() -> Iterator[bytes]:
        read.append("the data set")
        yield b""

    now[0] = 2
    with pytest.raises(StoreFull, match="watermark_percent = 90"):
        store.put(KEY, untouched())
    now[0] = 2.5  # within a second the file system is not asked again
    with pytest.raises(StoreFull):
        store.put(KEY, untouched())
    assert not files(root)
    now[0] = 4  # room has come back, so the store recovers by itself
    assert store.put(KEY, [DATA_SET]).n_bytes == len(DATA_SET)
    assert not usages
    assert not read


def recorded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the durability calls in order, as ``fsync:/path`` for fsync."""
    calls: list[str] = []

    def watch(name: str, told: Callable[..., str]) -> None:
        real = getattr(os, name)

        def call(*args: object, **kwargs: object) -> object:
            calls.append(told(*args))
            return real(*args, **kwargs)

        monkeypatch.setattr(os, name, call)

    watch("writev", lambda *_: "writev")
    watch("rename", lambda *_: "rename")
    watch("fsync", lambda fd: f"fsync:{os.readlink(f'/proc/self/fd/{fd}')}")
    return calls


def test_the_durable_order(
    store: LocalStore, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = recorded(monkeypatch)
    stored = store.put(KEY, [DATA_SET])
    folder = (root / stored.location).parent
    # Twice the root: the folder of what arrives is new too.
    assert calls[:3] == [f"fsync:{root}", f"fsync:{root}", "writev"]
    assert calls[3].startswith(f"fsync:{root}/incoming/")
    assert calls[3].endswith(".part")
    # The new folders are entered in their parents before the name is.
    assert calls[4:6] == [f"fsync:{folder.parent}", f"fsync:{root}"]
    assert calls[6:] == ["rename", f"fsync:{folder}"]


def test_a_known_folder_costs_two_syncs_and_a_duplicate_syncs_too(
    store: LocalStore, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored = store.put(KEY, [DATA_SET])
    folder = (root / stored.location).parent
    calls = recorded(monkeypatch)
    store.put(replace(KEY, sop_instance_uid="1.2.9"), [DATA_SET])
    assert [call.split(":")[0] for call in calls] == [
        *("writev", "fsync", "rename", "fsync")
    ]
    calls.clear()
    # Whoever stored it first may not have synced the folder yet, or in vain: the entry
    # is made anew.
    store.put(KEY, [DATA_SET])
    assert calls[-2:] == ["rename", f"fsync:{folder}"]


def test_another_process_syncs_the_folders_it_meets(
    store: LocalStore, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored = store.put(KEY, [DATA_SET])
    second = LocalStore(root, watermark_percent=100)
    calls = recorded(monkeypatch)
    second.put(KEY, [DATA_SET])
    folder = (root / stored.location).parent
    assert calls[4:6] == [f"fsync:{folder.parent}", f"fsync:{root}"]


def test_colliding_first_digits_overwrite_nothing(
    store: LocalStore, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dicomnode.store.layout._SHORT", 0)
    monkeypatch.setattr("dicomnode.store.layout.is_location", lambda _location: True)
    first, second = store.put(KEY, [DATA_SET]), store.put(KEY, [b"other"])
    assert first.location != second.location
    assert second == store.put(KEY, [b"other"])
    assert (root / first.location).read_bytes().endswith(DATA_SET)
    assert (root / second.location).read_bytes().endswith(b"other")


def test_a_damaged_file_does_not_stand_in_for_a_new_one(
    store: LocalStore, root: Path
) -> None:
    stored = store.put(KEY, [DATA_SET])
    (root / stored.location).write_bytes(file_meta.encode(KEY) + b"damaged")
    again = store.put(KEY, [DATA_SET])
    assert (root / again.location).read_bytes().endswith(DATA_SET)


def test_the_last_file_takes_its_folder_along(store: LocalStore, root: Path) -> None:
    stored = store.put(KEY, [DATA_SET])
    other = store.put(KEY, [b"other"])
    folder = (root / stored.location).parent
    store.delete(stored.location)
    assert folder.is_dir()
    store.delete(other.location)
    assert not folder.exists()


def test_putting_while_the_folder_is_removed_again_and_again(
    store: LocalStore, root: Path
) -> None:
    stop = threading.Event()
    other = LocalStore(root, watermark_percent=100)
    doomed = other.put(KEY, [b"doomed"]).location

    def remove() -> None:
        while not stop.is_set():
            other.delete(doomed)
            other.put(KEY, [b"doomed"])

    remover = threading.Thread(target=remove)
    remover.start()
    try:
        kept = [
            store.put(replace(KEY, sop_instance_uid=f"1.{n}"), [DATA_SET])
            for n in range(50)
        ]
    finally:
        stop.set()
        remover.join()
    assert {one.location for one in kept} <= set(store.locations())


def test_only_old_unfinished_files_are_swept(store: LocalStore, root: Path) -> None:
    stored = store.put(KEY, [DATA_SET])
    folder = (root / stored.location).parent
    now = datetime.now(UTC)
    for name, age in (("old.part", 7200), ("young.part", 0), ("old.txt", 7200)):
        (folder / name).touch()
        at = (now - timedelta(seconds=age)).timestamp()
        os.utime(folder / name, (at, at))
    assert store.sweep(now - timedelta(hours=1)) == 1
    assert {path.name for path in folder.iterdir()} == {
        *("young.part", "old.txt", Path(stored.location).name)
    }
    assert list(store.locations()) == [stored.location]


def test_what_was_arriving_is_swept_and_what_is_set_aside_is_not(
    store: LocalStore, root: Path
) -> None:
    killed, refused = store.stage(KEY), store.stage(KEY)
    killed.write([DATA_SET])
    refused.write([DATA_SET[:10], DATA_SET[10:]])
    name = refused.set_aside()
    assert (root / "quarantine" / name).read_bytes().endswith(DATA_SET)
    assert not list(store.locations())
    assert store.sweep(datetime.now(UTC) + timedelta(hours=1)) == 1
    assert [path.name for path in files(root)] == [name]


def test_pieces_make_the_same_file_as_the_whole(store: LocalStore, root: Path) -> None:
    incoming = store.stage(KEY)
    for byte in DATA_SET:
        incoming.write([bytes([byte])])
    with incoming.content() as data_set:
        assert data_set == DATA_SET
    stored = incoming.keep(KEY)
    assert stored == store.put(KEY, [DATA_SET])
    assert incoming.n_bytes == len(DATA_SET)
    incoming.discard()
    assert [path.suffix for path in files(root)] == [".dcm"]


def test_a_folder_sync_that_fails_fails_only_whom_it_serves(
    store: LocalStore, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored = store.put(KEY, [DATA_SET])
    folder = (root / stored.location).parent
    real, begun, go_on = os.fsync, threading.Event(), threading.Event()

    def fail(fd: int) -> None:
        if os.readlink(f"/proc/self/fd/{fd}") != str(folder):
            real(fd)
        elif not begun.is_set():
            begun.set()
            go_on.wait()
            raise OSError(errno.EIO, "injected")

    monkeypatch.setattr(os, "fsync", fail)
    keys = [replace(KEY, sop_instance_uid=f"1.7.{n}") for n in range(3)]
    with ThreadPoolExecutor(3) as pool:
        first = pool.submit(store.put, keys[0], [DATA_SET])
        begun.wait()
        # These ask after it has begun, so they need a sync of their own.
        later = [pool.submit(store.put, key, [DATA_SET]) for key in keys[1:]]
        go_on.set()
        assert isinstance(first.exception(), ReceiveError)
        assert [one.exception() for one in later] == [None, None]


def test_a_link_out_of_the_store_is_not_followed(
    store: LocalStore, root: Path, tmp_path: Path
) -> None:
    stored = store.put(KEY, [DATA_SET])
    folder = (root / stored.location).parent
    store.delete(stored.location)
    outside = tmp_path / "outside"
    outside.mkdir()
    folder.symlink_to(outside)
    with pytest.raises(ReceiveError):
        store.put(KEY, [DATA_SET])
    assert not list(outside.iterdir())


def test_a_root_that_cannot_be_made_is_an_error_of_the_configuration(
    tmp_path: Path,
) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match=r"set node\.data_dir"):
        LocalStore(tmp_path / "file" / "instances", watermark_percent=90)
