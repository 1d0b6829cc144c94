"""Names planted in every text element: none in logs, temporary files, support bundles.

A real node receives, analyses and reports, and it refuses and fails too. What it leaves
is then searched for the planted word, byte by byte.
"""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.datadict import DicomDictionary
from pydicom.dataset import Dataset
from pydicom.uid import generate_uid
from pynetdicom import AE

from dicomnode.demo.cases import make_cases
from dicomnode.demo.minipacs import MiniPacs
from tests.integration.audit_schema import checked, event_id
from tests.integration.receiving import undisturbed
from tests.integration.rig import Node

WORD = "ZYXQUILL"
TEXTS = {
    "PN": f"{WORD}^ANNA",
    "LO": WORD,
    "SH": WORD,
    "ST": WORD,
    "LT": WORD,
    "UT": WORD,
    "UC": WORD,
    "UR": f"http://{WORD}/",
    "AE": WORD,
}
NEVER = (0x0000, 0x0002, 0x0004, 0xFFFE)
"""Groups of commands, file meta information, directories and items."""
NOT_PLANTED = {"AccessionNumber"}  # it is in v1_worklist on purpose; see below


def planted(ds: Dataset) -> Dataset:
    """``ds`` with the word in every text element of the dictionary, nested too."""
    for tag, (vr, _, _, _, keyword) in DicomDictionary.items():
        if tag >> 16 in NEVER or not keyword or keyword in NOT_PLANTED:
            continue
        if vr in TEXTS:
            ds.add_new(tag, vr, TEXTS[vr])
    item = Dataset()
    item.PatientID, item.IssuerOfPatientID = WORD, WORD
    item.RequestedProcedureDescription = WORD
    ds.OtherPatientIDsSequence = [item]
    ds.RequestAttributesSequence = [item]
    block = ds.private_block(0x0011, WORD, create=True)
    block.add_new(0x01, "LO", WORD)
    return ds


def renewed(ds: Dataset) -> Dataset:
    """Another instance of another study."""
    ds.StudyInstanceUID, ds.SeriesInstanceUID = generate_uid(), generate_uid()
    ds.SOPInstanceUID = ds.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    return ds


def send(port: int, ds: Dataset, calling: str = "MODALITY") -> int | None:
    """C-STORE; the status, or None when the association was refused."""
    ae = AE(calling)
    syntax = ds.file_meta.TransferSyntaxUID
    ae.add_requested_context(ds.SOPClassUID, syntax)
    association = ae.associate("127.0.0.1", port, ae_title="DICOMNODE")
    if not association.is_established:
        return None
    try:
        with undisturbed(association):
            return int(association.send_c_store(ds).Status)
    finally:
        association.release()


@dataclass(frozen=True)
class Left:
    """What a node leaves: files by name, the reports it sent, its audit trail."""

    searched: dict[str, bytes]
    outcomes: set[str]
    reports: list[bytes]
    trail: bytes
    study_instance_uid: str


def left_by_a_node(folder: Path) -> Left:
    """Let a real node take, analyse, refuse and report planted instances."""
    (folder / "cases").mkdir()
    source = make_cases(folder / "cases", datetime.now(UTC))[0].instances[0].path
    well, cut, lost = (planted(renewed(dcmread(source))) for _ in range(3))
    cut.PixelData = cut.PixelData[:100]
    del lost.StudyInstanceUID
    assert sum(WORD in str(one.value) for one in well) > 700
    with MiniPacs(folder / "pacs", "ORTHANC") as pacs:
        node = Node(folder / "node", pacs.port)
        with node.running():
            assert send(node.port, well) == 0x0000
            assert send(node.port, cut) == 0x0000
            assert send(node.port, lost) == 0xC000
            assert send(node.port, well, calling="STRANGER") is None
            rows = node.settle([well.StudyInstanceUID, cut.StudyInstanceUID])
            said = said_by_commands(node)
        reports = pacs.files(well.StudyInstanceUID)
    var = node.folder / "var"
    files = {str(path): path.read_bytes() for path in _left(var, folder / "scratch")}
    return Left(
        {**files, **said, "node.log": (node.folder / "node.log").read_bytes()},
        {row["outcome"] for row in rows},
        reports,
        b"".join(path.read_bytes() for path in (var / "audit").glob("*.log")),
        str(well.StudyInstanceUID),
    )


def said_by_commands(node: Node) -> dict[str, bytes]:
    """What commands print, and the files of a support bundle."""
    bundle = node.folder / "support.zip"
    words = ["--out", str(bundle), "--log", str(node.folder / "node.log"), "--offline"]
    runs = {
        "support-bundle": node.cli("support-bundle", "--no-phi", *words),
        **{verb: node.cli(verb) for verb in ("status", "tail", "list")},
    }
    assert runs["support-bundle"].returncode == 0, runs["support-bundle"].stderr
    said = {name: f"{run.stdout}{run.stderr}".encode() for name, run in runs.items()}
    with zipfile.ZipFile(bundle) as archive:
        return said | {name: archive.read(name) for name in archive.namelist()}


@pytest.mark.peer
@pytest.mark.slow
def test_names_in_every_text_element_stay_out_of_logs(
    tmp_path: Path, require_command, monkeypatch: pytest.MonkeyPatch
) -> None:
    require_command("echoscu")
    (tmp_path / "scratch").mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "scratch"))
    left = left_by_a_node(tmp_path)
    # It did all its work, and the names went where they belong: into the reports.
    assert left.outcomes == {"ANALYSED", "NOT_ANALYSED"}
    assert any(WORD.encode() in one for one in left.reports)
    said = left.searched["node.log"]
    for event in (b"receiver.association", b"delivery.sent", b"job."):
        assert event in said, "the log would be silent for another reason"
    hits = [name for name, raw in left.searched.items() if WORD.lower() in _lower(raw)]
    assert hits == []
    assert left.study_instance_uid not in _lower(left.searched["v1_worklist.jsonl"])
    assert left.study_instance_uid not in _lower(left.searched["log-0.jsonl"])
    # The audit trail is where the patient ID must be (PS3.15 A.5), and no name is.
    assert f'ParticipantObjectID="{WORD}"'.encode() in left.trail
    assert b"ANNA" not in left.trail
    lines = left.trail.decode("ascii").splitlines()
    told = {event_id(checked(line.split(" - ", 1)[1])) for line in lines}
    assert told == {"110100", "110102", "110103", "110104", "110108", "110113"}


def _left(data: Path, scratch: Path) -> list[Path]:
    """Files that are not there to hold what was received.

    Those are images, results, the worklist, the audit trail, and the drift monitor's
    state, which knows machines by Manufacturer and Station Name.
    """
    kept = ("instances", "results", "audit", "monitor")
    own = [
        path for path in data.rglob("*") if path.relative_to(data).parts[0] not in kept
    ]
    ours = [path for path in own if not path.name.startswith("worklist.db")]
    return [path for path in (*ours, *scratch.rglob("*")) if path.is_file()]


def _lower(raw: bytes) -> str:
    return raw.decode("latin-1").lower()
