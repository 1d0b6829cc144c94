"""Rows 22, 53 and 54 of the fault catalogue: what is sent to do harm."""

from __future__ import annotations

import json
import struct
import subprocess
import sys
import zlib
from io import BytesIO, StringIO
from pathlib import Path

import pytest
import structlog
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom import dcmread
from pydicom.dataset import FileMetaDataset

from dicomnode import telemetry
from dicomnode.cli import printing
from dicomnode.domain.printable import printable
from dicomnode.receiver.command import parse
from dicomnode.receiver.header import scan
from dicomnode.store.file_meta import HEAD_BYTES, data_set_offset
from tests.faults.fuzz import measure
from tests.faults.running import CONFIG, receiver
from tests.integration.wire import CT, EXPLICIT, associated_wire, store
from tests.unit.receiver.test_header import dataset, encoded

DEFLATED = "1.2.840.10008.1.2.1.99"
BOMB_BYTES = 2 << 30
MOST_GROWTH_KIB = 100 << 10
ITEM = struct.pack("<HHI", 0xFFFE, 0xE000, 0xFFFFFFFF)
SEQUENCE = struct.pack("<HH2sHI", 9, 0x1010, b"SQ", 0, 0xFFFFFFFF)
ATTACK = "\x1b]0;owned\x07\x1b[2J\x9b31m\u202e<b>=1+1\r\nsecond"


def bomb() -> bytes:
    """2 MB that inflate to 2 GiB, with a good header in front (PS3.5 A.5)."""
    deflater = zlib.compressobj(1, wbits=-zlib.MAX_WBITS)
    made = deflater.compress(encoded(dataset(), EXPLICIT))
    block = bytes(16 << 20)
    one = deflater.compress(block) + deflater.flush(zlib.Z_FULL_FLUSH)
    again = deflater.compress(block) + deflater.flush(zlib.Z_FULL_FLUSH)
    return made + one + again * (BOMB_BYTES // len(block)) + deflater.flush()


@pytest.mark.parametrize(
    ("kind", "answered"), [("bomb", 0), ("deep", 0), ("endless", 0xC000)]
)
def test_22_a_bomb_costs_neither_memory_nor_the_others(
    tmp_path: Path, kind: str, answered: int
) -> None:
    plain = encoded(dataset(), EXPLICIT)
    made = {
        "bomb": bomb,
        "deep": lambda: (SEQUENCE + ITEM) * 1000 + _ends(1000) + plain,
        "endless": lambda: SEQUENCE + (ITEM + SEQUENCE) * 100_000 + plain,
    }[kind]()
    syntax = DEFLATED if kind == "bomb" else EXPLICIT
    with receiver(tmp_path) as running, associated_wire(running.port) as beside:
        beside.send(store(plain))
        assert beside.status() == 0
        before = running.memory_kib
        with associated_wire(running.port, [(1, CT, syntax)]) as wire:
            wire.send(store(made))
            assert wire.status() == answered
        assert running.memory_kib - before < MOST_GROWTH_KIB
        beside.send(store(plain))
        assert beside.status() == 0


def _ends(n: int) -> bytes:
    return struct.pack("<HHIHHI", 0xFFFE, 0xE00D, 0, 0xFFFE, 0xE0DD, 0) * n


def acts(text: str) -> bool:
    return any(one in text for one in "\x1b\x07\x9b\u202e\r")


def test_53_nothing_of_a_sender_acts_on_a_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    printing.as_json({"reason": ATTACK})
    assert json.loads(capsys.readouterr().out)["reason"] == ATTACK
    printing.as_json({"reason": ATTACK})
    printing.line(ATTACK)
    printing.rows("worklist", ("reason",), [{"reason": ATTACK}])
    said = capsys.readouterr().out
    assert not acts(said)
    assert "\\x1b]0;owned\\x07" in said
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("TERM", "dumb")
    printing.rows("worklist", ("reason",), [{"reason": ATTACK}])
    assert not acts(capsys.readouterr().out)


@pytest.mark.parametrize("formula", ["=1+1", "+cmd|' /C calc'!A0", "-2+3", "@SUM(A1)"])
def test_53_a_formula_is_text_in_a_spreadsheet(
    capsys: pytest.CaptureFixture[str], formula: str
) -> None:
    printing.rows("t", ("a", "b"), [{"a": formula, "b": "-1.5"}])
    assert capsys.readouterr().out == f"a\tb\n'{formula}\t-1.5\n"


@pytest.mark.parametrize("log_format", ["json", "console"])
def test_53_a_log_line_stays_one_line_and_acts_on_nothing(log_format: str) -> None:
    out = StringIO()
    renderers = telemetry._rendering(log_format, out)
    event: object = {"event": "receiver.association", "calling_ae_title": ATTACK}
    for one in renderers:
        event = one(structlog.get_logger(), "info", event)  # type: ignore[arg-type]
    assert not acts(str(event))
    assert "\n" not in str(event)


@given(st.text())
def test_53_printable_text_is_left_as_it_is(text: str) -> None:
    made = printable(text)
    assert printable(made) == made
    assert not acts(made)


PROGRAMS = {
    "PE": b"MZ\x90\0" + b"\0" * 56 + b"\x80\0\0\0",
    "ELF": b"\x7fELF\x02\x01\x01",
    "HTML": b"<script>alert(1)</script>",
}


@pytest.mark.parametrize("kind", PROGRAMS)
def test_54_the_preamble_of_a_sender_never_reaches_the_store(
    tmp_path: Path, kind: str
) -> None:
    """C-STORE carries a data set without one (PS3.7 9.1.1); ours is all zeros."""
    plain = encoded(dataset(), EXPLICIT)
    # A sender that takes its whole file for the data set is refused.
    polyglot = PROGRAMS[kind].ljust(128, b"\0") + b"DICM" + plain
    with receiver(tmp_path) as running, associated_wire(running.port) as wire:
        wire.send(store(polyglot))
        assert wire.status() == 0xC000
        wire.send(store(plain))
        assert wire.status() == 0
    (path,) = (tmp_path / "var" / "instances").rglob("*.dcm")
    whole = path.read_bytes()
    assert whole[:132] == bytes(128) + b"DICM"
    assert whole[data_set_offset(whole[:HEAD_BYTES]) :] == plain
    assert dcmread(BytesIO(whole)).SOPInstanceUID == "1.2.3.4.5.6"


def test_fuzzed_data_sets_and_pdus_harm_nothing(tmp_path: Path) -> None:
    figures = measure(tmp_path, 200, 100, seed=22)
    assert figures.wrong == []
    assert figures.answers["0x0000"]


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=300))
def test_no_bytes_are_a_command_that_fails(raw: bytes) -> None:
    command = parse(raw)
    assert command is None or command.sop_instance_uid


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=20), st.binary(max_size=60))
def test_no_character_set_makes_the_scan_fail(term: bytes, raw: bytes) -> None:
    data = struct.pack("<HH2sH", 8, 5, b"CS", len(term)) + term
    data += struct.pack("<HH2sH", 0x10, 0x10, b"PN", len(raw)) + raw
    assert "\0" not in scan(data, EXPLICIT, ()).identity.patient_name


def test_54_what_is_sent_on_has_no_preamble_of_a_sender(
    tmp_path: Path,
) -> None:
    """``dicomnode send`` of a polyglot: the other node writes its own preamble."""
    ds = dataset()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = EXPLICIT
    ds.save_as(tmp_path / "poly.dcm", enforce_file_format=True)
    whole = (tmp_path / "poly.dcm").read_bytes()
    (tmp_path / "poly.dcm").write_bytes(PROGRAMS["PE"].ljust(128, b"\0") + whole[128:])
    config = CONFIG.replace("[node]", '[node]\nae_title = "MODALITY"', 1)
    (tmp_path / "sender.toml").write_text(config)
    (tmp_path / "node").mkdir()
    with receiver(tmp_path / "node", CONFIG) as running:
        words = ["send", str(tmp_path / "poly.dcm"), "--config"]
        words += [str(tmp_path / "sender.toml")]
        words += ["--to", f"DICOMNODE@127.0.0.1:{running.port}"]
        subprocess.run([sys.executable, "-m", "dicomnode", *words], check=True)
    (path,) = (tmp_path / "node" / "var" / "instances").rglob("*.dcm")
    assert path.read_bytes()[:128] == bytes(128)
