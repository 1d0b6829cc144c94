"""One store folder and several receivers: on one machine, or on a shared file system.

A real NFS cannot be mounted here. What it does that a local disk does not is injected:
a handle that has gone stale, and a rename whose answer is lost and that is done twice.
"""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import pytest

from dicomnode.errors import ReceiveError
from dicomnode.store import LocalStore
from tests.contract.test_store import DATA_SET, KEY, content
from tests.faults.test_storing import Kept
from tests.integration.receiving import associated, receiving, status
from tests.integration.test_receive import made

PROGRAM = """
import sys
from pathlib import Path
from dataclasses import replace
from concurrent.futures import ThreadPoolExecutor
from dicomnode.store import LocalStore
from tests.contract.test_store import DATA_SET, KEY

store = LocalStore(Path(sys.argv[1]), 100)
print("ready", flush=True)
sys.stdin.readline()
keys = [replace(KEY, sop_instance_uid=f"1.2.{n % 50}") for n in range(200)]
with ThreadPoolExecutor(4) as pool:
    done = pool.map(lambda key: store.put(key, [DATA_SET]).location, keys)
    print("\\n".join(sorted(set(done))))
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "instances"


def files(root: Path) -> list[str]:
    found = (path for path in root.rglob("*") if path.is_file())
    return sorted(path.relative_to(root).as_posix() for path in found)


def test_processes_that_put_the_same_instances_make_each_file_once(
    root: Path,
) -> None:
    argv = [sys.executable, "-c", PROGRAM, str(root)]
    with ExitStack() as stack:
        writers = [
            stack.enter_context(
                subprocess.Popen(
                    argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
                )
            )
            for _ in range(2)
        ]
        for one in writers:
            assert one.stdout
            assert one.stdout.readline() == "ready\n"
        said = [one.communicate("go\n")[0].split() for one in writers]
    assert said[0] == said[1] == files(root)
    assert len(said[0]) == 50


def test_one_study_that_arrives_at_two_receivers_is_one_study(
    tmp_path: Path,
) -> None:
    """On one store and one worklist: nothing lost, what comes twice is kept once."""
    kept = Kept(tmp_path)
    samples = [made(uid=f"1.2.3.4.5.{n}") for n in range(10)]
    with ExitStack() as stack:
        ports = [
            stack.enter_context(receiving(kept.root, intake=kept.worklist.intake)).port
            for _ in range(2)
        ]

        def send(port: int) -> list[int | None]:
            # Half of them come to both.
            mine = samples[:7] if port == ports[0] else samples[3:]
            with associated(port, [samples[0].context]) as association:
                return [status(association, one) for one in mine]

        with ThreadPoolExecutor(2) as pool:
            answers = list(pool.map(send, ports))
    assert answers == [[0] * 7, [0] * 7]
    assert sorted(kept.rows()) == sorted(one.key.sop_instance_uid for one in samples)
    assert len(kept.files()) == 10
    (study,) = kept.worklist.views.worklist()
    assert study["n_instances"] == 10
    kept.worklist.close()


@pytest.fixture
def replayed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The next rename is done, and answered as if it had been done before."""
    real, names = os.rename, list[str]()

    def rename(source: str, target: str, **folders: int) -> None:
        real(source, target, **folders)
        if not names:
            names.append(target)
            raise FileNotFoundError(errno.ENOENT, "replayed")

    monkeypatch.setattr(os, "rename", rename)
    return names


def test_a_rename_that_was_replayed_is_no_success_and_no_loss(
    root: Path, replayed: list[str]
) -> None:
    """The file is there under its name; who sends it again is told Success."""
    store = LocalStore(root, 100)
    with pytest.raises(ReceiveError) as caught:
        store.put(KEY, [DATA_SET])
    assert caught.value.status == 0xA700
    assert replayed
    stored = store.put(KEY, [DATA_SET])
    assert files(root) == [stored.location]
    assert stored.sha256 == sha256(DATA_SET).hexdigest()


@pytest.mark.parametrize("call", ["open", "writev", "fsync", "rename"])
def test_a_stale_handle_is_no_success(
    root: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    """Another machine has removed the folder in between."""
    store = LocalStore(root, 100)
    first = store.put(KEY, [DATA_SET])

    def fail(*_args: object, **_kwargs: object) -> None:
        raise OSError(errno.ESTALE, os.strerror(errno.ESTALE))

    monkeypatch.setattr(os, call, fail)
    with pytest.raises(ReceiveError) as caught:
        store.put(replace(KEY, sop_instance_uid="1.2.9"), [DATA_SET])
    assert caught.value.status == 0xA700
    monkeypatch.undo()
    assert files(root) == [first.location]
    assert store.put(replace(KEY, sop_instance_uid="1.2.9"), [DATA_SET])


def test_the_other_machine_sees_a_file_once_it_was_acknowledged(root: Path) -> None:
    """By its name only: no state of a store is in its memory."""
    here, there = LocalStore(root, 100), LocalStore(root, 100)
    stored = here.put(KEY, [DATA_SET])
    assert content(there, stored.location).endswith(DATA_SET)
    assert list(there.locations()) == [stored.location]
    there.delete(stored.location)
    assert not list(here.locations())
    assert here.put(KEY, [DATA_SET]) == stored
    assert content(there, stored.location).endswith(DATA_SET)
