"""`dicomnode demo`: the whole chain, looked at from outside."""

from __future__ import annotations

import re
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest
from PIL import Image
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.uid import ComprehensiveSRStorage

from dicomnode.demo.cases import ANALYSED, NOT_ANALYSED, NOT_ROUTED, Case, make_cases
from dicomnode.demo.minipacs import MiniPacs
from dicomnode.demo.pacs import find_series
from dicomnode.demo.program import wait_until

ROOT = Path(__file__).resolve().parents[2]
KEEPSAKES = {"report.html", "heatmap.png", "result_sr.dcm", "worklist.db"}
pytestmark = pytest.mark.slow


@contextmanager
def _demo(*options: str) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "dicomnode", "demo", *options]
    with subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        try:
            yield process
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
                process.communicate()


def _read_until(process: subprocess.Popen[str], pattern: str) -> str:
    """The output up to the line that has ``pattern``; fails when it ends before."""
    assert process.stdout is not None
    said = ""
    for line in process.stdout:
        said += line
        if re.search(pattern, line):
            return said
    pytest.fail(f"{pattern!r} was never said:\n{said}")


def _left_running(out: Path) -> list[str]:
    """Command lines of processes that name the folder of the run."""
    lines = []
    for entry in Path("/proc").iterdir():
        try:
            line = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
        except OSError:
            continue
        if entry.name.isdigit() and f"{out}/run-" in line:
            lines.append(line)
    return lines


def _nothing_is_left(out: Path) -> None:
    """Once it has ended; what was killed is there for a moment yet."""
    assert wait_until(lambda: not _left_running(out), lambda: None, 300), _left_running(
        out
    )


def _expected(folder: Path) -> dict[str, Case]:
    """Accession number -> case, as the demonstration makes them."""
    cases = make_cases(folder, datetime.now(UTC))
    return {dcmread(case.instances[0].path).AccessionNumber: case for case in cases}


def _tracked(ds: Dataset) -> set[str]:
    """The Tracking Identifiers (112039,DCM) of a content tree."""
    found = set()
    for item in ds.get("ContentSequence", ()):
        name = item.get("ConceptNameCodeSequence")
        if name and name[0].CodeValue == "112039":
            found.add(item.TextValue)
        found |= _tracked(item)
    return found


def _worklist(out: Path) -> list[dict[str, object]]:
    with closing(sqlite3.connect(out / "worklist.db")) as copy:
        copy.row_factory = sqlite3.Row
        return [dict(row) for row in copy.execute("SELECT * FROM v1_worklist")]


def test_every_report_is_in_the_pacs_and_says_what_is_true(tmp_path: Path) -> None:
    out = tmp_path / "out"
    (tmp_path / "same").mkdir()
    expected = _expected(tmp_path / "same")
    with _demo("--out", str(out), "--keep") as process:
        said = _read_until(process, r"receiver\.host")
        assert "11 of 11 studies ended as expected" in said
        pacs = MiniPacs(tmp_path)  # only to name the address of the running one
        pacs.port = int(_found(r"PACS.*port (\d+)", said))
        (folder,) = out.glob("run-*")
        reports = {
            ds.AccessionNumber: ds
            for path in (folder / "pacs").glob("*.dcm")
            if (ds := dcmread(path)).SOPClassUID == ComprehensiveSRStorage
        }
        for row in _worklist(out):
            accession = str(row["accession_number"])
            want = expected[accession].expected
            study_uid = str(row["study_instance_uid"])
            series = {ds.Modality for ds in find_series(pacs, "ANYONE", study_uid)}
            if want.outcome == NOT_ROUTED:
                assert row["study_state"] == NOT_ROUTED
                assert series == set()
                continue
            assert row["outcome"] == want.outcome
            assert "SR" in series
            assert ("OT" in series) is (want.outcome == ANALYSED)
            assert reports[accession].StudyInstanceUID == study_uid
            assert _tracked(reports[accession]) == want.present
            if want.outcome == NOT_ANALYSED:
                assert row["reason"]
        assert len(_worklist(out)) == len(expected)
        process.send_signal(signal.SIGTERM)
        process.communicate()
        assert process.returncode == 0
    _check_keepsakes(out)
    _nothing_is_left(out)


def _found(pattern: str, text: str) -> str:
    match = re.search(pattern, text)
    assert match, f"no {pattern!r} in:\n{text}"
    return match.group(1)


def _check_keepsakes(out: Path) -> None:
    assert {one.name for one in out.iterdir()} == KEEPSAKES
    with Image.open(out / "heatmap.png") as picture:
        colours = picture.convert("RGB").getcolors(1 << 24)
        assert colours is not None
        assert any(max(pixel) - min(pixel) > 60 for _, pixel in colours)
    report = dcmread(out / "result_sr.dcm")
    assert report.Modality == "SR"
    assert _tracked(report) != set()
    html = (out / "report.html").read_text(encoding="utf-8")
    assert html.count("✓ as expected") == 11
    assert "✗" not in html
    with closing(sqlite3.connect(out / "worklist.db")) as copy:
        states = copy.execute("SELECT DISTINCT state FROM v1_deliveries").fetchall()
    assert set(states) <= {("SENT",), ("COMMITTED",)}


@pytest.mark.peer
def test_the_same_with_a_real_orthanc(
    tmp_path: Path, require_command: Callable[[str], str]
) -> None:
    require_command("Orthanc")
    out = tmp_path / "out"
    with _demo("--out", str(out), "--pacs", "orthanc") as process:
        said, _ = process.communicate()
    assert process.returncode == 0, said
    assert "11 of 11 studies ended as expected" in said
    _check_keepsakes(out)
    _nothing_is_left(out)


def test_an_interrupted_one_leaves_nothing_running(tmp_path: Path) -> None:
    out = tmp_path / "out"
    with _demo("--out", str(out)) as process:
        _read_until(process, "Sending")
        assert _left_running(out)
        process.send_signal(signal.SIGINT)
        said, _ = process.communicate()
    assert process.returncode == 1
    assert "everything that the demo started has ended" in said
    _nothing_is_left(out)
