"""Rows 38 to 41 and 50: loops, restored and damaged databases, renamed destinations.

Real processes: the node, DCMTK as the modality, Orthanc as the PACS.
"""

from __future__ import annotations

import io
import json
import os
import shutil
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.uid import generate_uid

from dicomnode.demo.orthanc import Modality, Orthanc
from dicomnode.demo.program import Program, free_port, wait_until
from dicomnode.domain.delivery import NewResult
from dicomnode.domain.instance import InstanceKey
from dicomnode.errors import WorklistError
from dicomnode.results import build, encode_data_set
from dicomnode.store import LocalStore
from dicomnode.worklist import (
    backup,
    check,
    downgrade,
    open_views,
    open_worklist,
    restore,
    upgrade,
)
from dicomnode.worklist.schema import HEAD
from tests.contract.worklist.making import finished
from tests.contract.worklist.test_backups import damage
from tests.integration.rig import HANG_SECONDS, Node, copy_as, storescu
from tests.unit.results import cases

pytestmark = pytest.mark.peer

SOURCE = "dicom/cxr_wrapped_derived/nih_cxr14_00_evrle.dcm"
AT_ONCE = ("--set", "keep.reconcile_grace_seconds=0")


def a_study(shared_data: Path, folder: Path) -> tuple[Path, str]:
    """A real radiograph as a study of its own: (path, Study Instance UID)."""
    uid = str(generate_uid())
    path = copy_as(
        shared_data / SOURCE,
        folder / f"{os.urandom(4).hex()}.dcm",
        StudyInstanceUID=uid,
        SeriesInstanceUID=generate_uid(),
        SOPInstanceUID=generate_uid(),
    )
    return path, uid


def in_pacs(orthanc: Orthanc, study: str) -> set[str]:
    files = (dcmread(io.BytesIO(file)) for file in orthanc.files(study))
    return {str(ds.SOPInstanceUID) for ds in files}


def balance(node: Node, *options: str) -> dict[str, object]:
    """What reconcile says in the end; it must be content."""
    ran = node.cli("reconcile", "--json", *options, *AT_ONCE)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    record: dict[str, object] = json.loads(ran.stdout.splitlines()[-1])
    assert record["balanced"] is True
    return record


@dataclass
class Story:
    """A node that was backed up between two studies, and then stopped."""

    orthanc: Orthanc
    node: Node
    backup: Path
    studies: tuple[str, str]
    looped: list[Path]


@pytest.fixture(scope="module")
def story(tmp_path_factory, require_command, shared_data) -> Iterator[Story]:
    for name in ("Orthanc", "storescu", "echoscu"):
        require_command(name)
    folder = tmp_path_factory.mktemp("recovery")
    port = free_port()
    with Orthanc(folder / "orthanc", {"node": Modality("DICOMNODE", port)}) as orthanc:
        node = Node(folder / "node", orthanc.dicom_port, port=port)
        backup = folder / "backup.db"
        with node.running():
            first, one = a_study(shared_data, folder)
            storescu(node.port, [first])
            node.settle([one])
            everything = orthanc.instances(one)
            orthanc.store("node", everything)
            node.wait(lambda: len(looped(node, one)) == 1 + len(everything), "the loop")
            made = node.cli("db", "backup", str(backup))
            assert made.returncode == 0, made.stderr
            refused = node.cli("db", "restore", str(backup), "--yes")
            assert "stop the node" in refused.stderr
            assert refused.returncode == 1
            second, other = a_study(shared_data, folder)
            storescu(node.port, [second])
            node.settle([other])
            assert balance(node)["found"] == {}
        yield Story(orthanc, node, backup, (one, other), looped(node, one))


def looped(node: Node, study: str) -> list[Path]:
    kept = node.kept().values()
    return [path for paths in kept for path in paths if study in path.parts]


def test_38_our_own_results_that_come_back_are_not_routed(story: Story) -> None:
    one, _ = story.studies
    rows = [row for row in story.node.rows() if row["study_instance_uid"] == one]
    assert [(row["revision"], row["outcome"]) for row in rows] == [(1, "ANALYSED")]
    assert len(story.looped) > 1
    report = balance(story.node)
    assert report["excluded"] == {
        "a result of this node that came back": len(story.looped) - 1
    }


def test_39_what_came_after_the_backup_is_found_and_not_doubled(story: Story) -> None:
    node, (one, other) = story.node, story.studies
    before = in_pacs(story.orthanc, other)
    node.views.close()
    restored = node.cli("db", "restore", str(story.backup), "--yes")
    assert restored.returncode == 0, restored.stderr
    assert "reconcile --repair" in restored.stdout
    node.views = open_views(node.url)
    assert {row["study_instance_uid"] for row in node.rows()} == {one}
    looked = node.cli("reconcile", *AT_ONCE)
    assert looked.returncode == 3
    assert "file without row" in looked.stdout
    balance(node, "--repair")
    with node.running():
        [row] = node.settle([other])
        assert row["outcome"] == "ANALYSED"
        sent = node.views.deliveries(row["job_id"])
        assert {delivery["sop_instance_uid"] for delivery in sent} == before
        assert in_pacs(story.orthanc, other) == before
        assert balance(node, "--verify")["found"] == {}


def receiver(node: Node) -> Program:
    log = node.folder / "receive.log"
    return Program("receive", node._argv("receive"), log, node._environ())


@pytest.fixture(scope="module")
def received(tmp_path_factory, require_command, shared_data) -> tuple[Path, str]:
    """The data folder of a node that has received one study; that study's UID."""
    require_command("storescu")
    folder = tmp_path_factory.mktemp("received")
    node = Node(folder / "node", free_port())
    path, study = a_study(shared_data, folder)
    with receiver(node) as program:
        assert wait_until(node.echoes, program.check, HANG_SECONDS)
        assert storescu(node.port, [path]).returncode == 0
    node.views.close()
    return node.folder / "var", study


@pytest.fixture
def lone(received: tuple[Path, str], tmp_path: Path) -> tuple[Node, str]:
    """A stopped node of one's own that has received one study."""
    folder, study = received
    node = Node(tmp_path / "node", free_port())
    node.views.close()
    shutil.rmtree(node.folder / "var")
    shutil.copytree(folder, node.folder / "var")
    return node, study


def database(node: Node) -> Path:
    return node.folder / "var" / "worklist.db"


def test_40_a_newer_schema_is_refused_with_its_remedy(lone) -> None:
    node, _ = lone
    with closing(sqlite3.connect(database(node))) as newer:
        newer.execute("UPDATE alembic_version SET version_num = '9999'")
        newer.execute("DROP VIEW v1_schema")
        newer.execute("CREATE VIEW v1_schema AS SELECT '9999' AS compatible_from")
        newer.commit()
    before = database(node).read_bytes()
    for role in ("run", "reconcile"):
        ran = node.cli(role)
        assert ran.returncode == 1
        assert "newer than this program" in ran.stderr + ran.stdout
        assert "install the newer program again" in ran.stderr + ran.stdout
    assert database(node).read_bytes() == before


@pytest.mark.parametrize("call", [3, 27])
def test_40_a_migration_that_is_killed_is_simply_run_again(
    lone, require_command, call: int
) -> None:
    require_command("strace")
    node, study = lone
    downgrade(node.url, "0001")
    killed = subprocess.run(
        ["strace", "-f", "-o", "/dev/null", "-e", "trace=pwrite64",
         "-e", f"inject=pwrite64:signal=KILL:when={call}",
         *node._argv("db", "upgrade")],
        capture_output=True,
        env=node._environ(),
        timeout=HANG_SECONDS,
    )  # fmt: skip
    assert killed.returncode != 0
    with pytest.raises(WorklistError, match="schema 0001"):
        check(node.url, integrity=True)
    assert upgrade(node.url) == check(node.url, integrity=True) == HEAD
    with closing(open_views(node.url)) as views:
        (row,) = views.worklist()
    assert row["study_instance_uid"] == study


def test_41_flipped_bits_are_found_at_start_and_the_store_rebuilds_the_rows(
    lone,
) -> None:
    node, study = lone
    downgrade(node.url, HEAD)  # folds the log into the file
    kept = node.kept()
    damage(database(node))
    ran = node.cli("run")
    assert ran.returncode == 1
    assert "db restore FILE" in ran.stderr + ran.stdout
    for damaged in database(node).parent.glob("worklist.db*"):
        damaged.unlink()
    balance(node, "--repair")
    with closing(open_views(node.url)) as views:
        (row,) = views.worklist()
        (who,) = views.identity(study)
    assert (row["study_instance_uid"], row["n_instances"]) == (study, 1)
    assert row["modality"]
    assert who["study_instance_uid"] == study
    assert node.kept() == kept


def deliverer(node: Node) -> Program:
    log = node.folder / "deliver.log"
    return Program("deliver", node._argv("deliver"), log, node._environ())


def undelivered(node: Node) -> set[str]:
    """A finished study whose report waits for the destination PACS; its UIDs."""
    store = LocalStore(node.folder / "var" / "results", 100)
    kept = []
    for one in build(cases.context(), cases.negative(), ["sr"]):
        key = InstanceKey(
            cases.STUDY, one.series_instance_uid, one.sop_instance_uid,
            one.sop_class_uid, "1.2.840.10008.1.2.1",
        )  # fmt: skip
        stored = store.put(key, [encode_data_set(one.dataset)])
        kept.append(
            NewResult(
                one.kind, one.sop_class_uid, one.sop_instance_uid,
                one.series_instance_uid, stored.location, stored.sha256, ("PACS",),
            )
        )  # fmt: skip
    with open_worklist(node.url) as worklist:
        finished(worklist, *kept, study=cases.STUDY)
    return {one.sop_instance_uid for one in kept}


def test_50_results_for_a_renamed_destination_wait_and_are_moved(
    tmp_path, require_command
) -> None:
    require_command("Orthanc")
    modalities = {"node": Modality("DICOMNODE", free_port())}
    with Orthanc(tmp_path / "orthanc", modalities) as orthanc:
        node = Node(tmp_path / "node", orthanc.dicom_port)
        uids = undelivered(node)
        text = node.config.read_text()
        text = text.replace('name = "PACS"', 'name = "ARCHIVE"')
        node.config.write_text(text.replace('["PACS"]', '["ARCHIVE"]'))
        with deliverer(node) as program:
            told = node.cli("status")
            assert told.returncode == 3
            assert f"{len(uids)} result(s) wait for PACS, which is not" in told.stdout
            assert "dicomnode retry --to" in told.stdout
            asked = node.cli("retry", "--to", "ARCHIVE")
            assert (asked.returncode, "--yes" in asked.stderr) == (2, True)
            assert {one["state"] for one in node.views.deliveries()} == {"PENDING"}
            moved = node.cli("retry", "--to", "ARCHIVE", "--yes")
            assert moved.returncode == 0, moved.stderr
            arrived = wait_until(
                lambda: in_pacs(orthanc, cases.STUDY) == uids,
                program.check,
                HANG_SECONDS,
            )
            assert arrived, program.tail()
        assert {one["destination"] for one in node.views.deliveries()} == {"ARCHIVE"}


def test_a_backup_beside_the_store_is_all_that_a_new_machine_needs(
    lone, tmp_path
) -> None:
    """docs/recovery.md as written: the database first, the files after it."""
    node, study = lone
    copied = tmp_path / "copied.db"
    backup(node.url, copied)
    new = Node(tmp_path / "new", free_port())
    new.views.close()
    for name in ("instances", "results"):
        if (node.folder / "var" / name).exists():
            shutil.copytree(node.folder / "var" / name, new.folder / "var" / name)
    restore(new.url, copied, datetime.now(UTC))
    assert balance(new, "--verify")["found"] == {}
    with closing(open_views(new.url)) as views:
        assert [row["study_instance_uid"] for row in views.worklist()] == [study]
