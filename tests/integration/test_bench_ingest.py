"""The ingest bench at its smallest: every part of it runs, and its figures are real."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from pydicom import dcmread

from tests.bench.ingest import images, native, running
from tests.bench.ingest.running import Run

HANG_SECONDS = 300


def bench(*words: str, out: Path) -> dict:
    """Run it as a program: it moves into a network of its own."""
    argv = [sys.executable, "-m", "tests.bench", "ingest", "--repeat", "1"]
    argv += ["--divide", "1000", "--out", str(out), *words]
    ran = subprocess.run(argv, capture_output=True, text=True, timeout=HANG_SECONDS)
    assert ran.returncode == 0, ran.stderr
    return json.loads(out.read_text()) | {"said": ran.stdout}


def test_each_receiver_takes_every_image(tmp_path: Path) -> None:
    receivers = "dicomnode;sink;pynetdicom;storescp, NODELAY;Orthanc, NODELAY"
    found = bench(
        *("--receivers", receivers, "--workloads", "mr-8"), out=tmp_path / "out.json"
    )
    runs = {run["receiver"]: run for run in found["runs"]}
    assert {"dicomnode", "sink", "pynetdicom"} <= set(runs)
    for run in runs.values():
        assert (run["images"], run["failures"]) == (8, 0)
        assert run["images_per_second"] > 0
        assert run["peak_mb"] > 0
    assert "row committed" in runs["dicomnode"]["durability"]
    assert all(name in found["said"] for name in runs)


def test_without_a_compiler_python_sends(tmp_path: Path) -> None:
    found = bench(
        *("--receivers", "dicomnode;sink", "--workloads", "each-8", "--python"),
        out=tmp_path / "out.json",
    )
    assert found["sender"] == "Python"
    assert [run["failures"] for run in found["runs"]] == [0, 0]


def test_without_a_compiler_we_sync_and_are_not_compared_with_who_does_not(
    tmp_path: Path,
) -> None:
    found = bench(
        *("--receivers", "dicomnode;sink", "--workloads", "each-8", "--python"),
        *("--sync", "off"),
        out=tmp_path / "out.json",
    )
    assert [run["receiver"] for run in found["runs"]] == ["sink"]
    assert "left out" in found["said"]


@pytest.mark.parametrize("name", ["CT", "MR", "US"])
def test_an_image_carries_its_numbers(name: str, tmp_path: Path) -> None:
    one = images.template(name)
    [path] = images.files(one, tmp_path, range(42, 43), 1)
    ds = dcmread(path)
    assert ds.SOPInstanceUID == "2.25.1000000000042"
    assert ds.file_meta.MediaStorageSOPInstanceUID == ds.SOPInstanceUID
    assert ds.StudyInstanceUID == "2.25.2000000000042"
    assert len(ds.PixelData) == len(one.data_set) - one.head


def test_the_table_names_the_ratio_and_the_durability() -> None:
    ours = Run("ct-1", "dicomnode", "all synced", 10, 200.0, 1.0, 80.0, 0)
    theirs = Run("ct-1", "slow", "nothing synced", 10, 50.0, 4.0, 30.0, 1)
    shown = running.table("ct-1", [theirs, ours]).splitlines()
    assert shown[2].split()[:3] == ["dicomnode", "200", "1.00"]
    assert shown[3].split()[:3] == ["slow", "50", "4.00"]
    assert shown[3].endswith("nothing synced, 1 FAILURES")


def test_a_compiler_that_is_there_is_used(tmp_path: Path) -> None:
    made = native.tools(tmp_path)
    assert made == native.plain() or made.made_of == "C"


def test_a_short_soak_loses_nothing_and_reports_growth(tmp_path: Path) -> None:
    out = tmp_path / "soak.json"
    argv = [sys.executable, "-m", "tests.bench", "soak", "--minutes", "0.1"]
    argv += ["--speed", "20", "--processes", "2", "--out", str(out)]
    argv += ["--folder", str(tmp_path)]
    ran = subprocess.run(argv, capture_output=True, text=True, timeout=HANG_SECONDS)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    found = json.loads(out.read_text())
    assert found["images sent"] > 0
    assert found["images recorded"] == found["files"] == found["images sent"]
    assert len(found["samples"]) > 1
    assert {"memory MB an hour", "descriptors an hour"} <= set(found)


def test_the_worklist_bench_measures_every_operation(tmp_path: Path) -> None:
    from tests.bench.worklist import measuring
    from tests.bench.worklist.filling import Size

    sizes = [Size(50, 100), Size(100, 200)]
    found = {}
    for size in sizes:
        with measuring.filled(tmp_path / str(size.n_studies), size) as subject:
            found[size] = {
                name: measuring.milliseconds(operation, subject, 1)
                for name, operation in measuring.OPERATIONS.items()
            }
    shown = measuring.table(found).splitlines()
    assert len(shown) == 1 + len(measuring.OPERATIONS)
    assert "100 / 200" in shown[0]


def test_the_worklist_bench_shows_which_indexes_are_used(tmp_path: Path) -> None:
    from tests.bench.worklist import measuring
    from tests.bench.worklist.filling import Size

    size = Size(20, 60)
    with measuring.filled(tmp_path / "worklist", size):
        pass
    said = measuring.plans_of(tmp_path / "worklist", size)
    for name in measuring.OPERATIONS:
        assert f"\n{name}\n" in f"\n{said}\n", name
    recorded = said.partition("completion scan")[0]
    assert "SEARCH studies USING INDEX" in recorded
    assert "SCAN" not in recorded
    # What is read whole is marked: the rows that wait to be folded.
    assert "! SELECT kind, state, n FROM v1_counts" in said


def test_a_receiver_that_is_kept_from_syncing_syncs_nothing(tmp_path: Path) -> None:
    if not (nosync := native.tools(tmp_path).nosync):
        pytest.skip("no C compiler")
    # A descriptor that is none: the kernel would say so.
    argv = [sys.executable, "-c", "import os; os.fsync(999); os.fdatasync(999)"]
    assert subprocess.run(argv, capture_output=True).returncode
    assert not subprocess.run(argv, env={**os.environ, "LD_PRELOAD": nosync}).returncode
