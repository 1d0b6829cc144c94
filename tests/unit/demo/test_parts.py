"""The small parts: markup, live view, configuration, copies."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from dicomnode.config import load
from dicomnode.demo import settings
from dicomnode.demo.cases import Case
from dicomnode.demo.failure import DemoFailed
from dicomnode.demo.keepsakes import copy_database
from dicomnode.demo.live import Progress, is_settled, state_of
from dicomnode.demo.minipacs import MiniPacs
from dicomnode.demo.settings import Place
from dicomnode.demo.stage import invitation, open_pacs
from dicomnode.results.markup import element, prose


def test_only_markup_is_not_escaped() -> None:
    inner = element("b", "<&>")
    assert element("p", inner, "'x'") == "<p><b>&lt;&amp;&gt;</b>&#x27;x&#x27;</p>"
    assert element("img", alt='"', class_="a") == '<img alt="&quot;" class="a">'
    assert prose("run `a < b`") == "run <code>a &lt; b</code>"


def test_the_configuration_is_one_that_the_node_reads(tmp_path: Path) -> None:
    place = Place(tmp_path / 'a "quoted" folder', 11113, 8081)
    place.folder.mkdir()
    pacs = MiniPacs(tmp_path)
    pacs.port = 104
    config = load(settings.save(place, pacs))
    assert config.node.data_dir == place.data_dir
    assert config.receiver.host == "127.0.0.1"
    assert config.receiver.port == 11113
    assert config.destination[0].port == 104
    assert config.peer[0].ae_title == settings.MODALITY


ROW = {
    "study_instance_uid": "1.2",
    "study_state": "ROUTED",
    "job_id": "j",
    "job_state": "COMPLETED",
    "outcome": "ANALYSED",
}


def _delivery(state: str) -> dict[str, object]:
    return {"job_id": "j", "state": state}


@pytest.mark.parametrize(
    ("row", "deliveries", "settled"),
    [
        ({}, [], False),
        ({"study_state": "RECEIVING", "job_id": None}, [], False),
        ({"study_state": "NOT_ROUTED", "job_id": None}, [], True),
        (ROW, [_delivery("SENT"), _delivery("COMMITTED")], True),
        (ROW, [_delivery("SENT"), _delivery("PENDING")], False),
        (ROW | {"job_state": "IN_PROGRESS"}, [], False),
        (ROW | {"job_state": "FAILED"}, [], True),
        (ROW, [_delivery("FAILED")], True),
    ],
)
def test_when_a_study_has_settled(
    row: dict[str, object], deliveries: list[dict[str, object]], settled: bool
) -> None:
    assert is_settled(row, deliveries) is settled


def test_a_study_in_a_few_words() -> None:
    deliveries = [_delivery("SENT"), _delivery("PENDING"), {"job_id": "x", "state": ""}]
    words = "COMPLETED, ANALYSED, 1 of 2 results in the PACS"
    assert state_of(ROW, deliveries) == words
    assert state_of({}, []) == "not yet sent"


def test_plain_lines_are_said_once(cases: tuple[Case, ...]) -> None:
    case = cases[0]
    row = ROW | {"study_instance_uid": case.study_instance_uid, "revision": 1}
    output = StringIO()
    with Progress(Console(file=output, width=200), [case]) as progress:
        for state in ("SCHEDULED", "SCHEDULED", "COMPLETED"):
            progress.show([row | {"job_state": state, "outcome": None}], [])
    lines = output.getvalue().split()
    assert lines == [case.name, "SCHEDULED", case.name, "COMPLETED"]


def test_a_terminal_gets_a_table(cases: tuple[Case, ...]) -> None:
    output = StringIO()
    console = Console(file=output, width=120, force_terminal=True)
    with Progress(console, cases) as progress:
        progress.show([], [])
    assert cases[0].title in output.getvalue()


def test_the_copy_is_one_file_even_while_others_write(tmp_path: Path) -> None:
    source, target = tmp_path / "a.db", tmp_path / "copy.db"
    target.write_bytes(b"what an earlier run left")
    with closing(sqlite3.connect(source)) as writer:
        writer.execute("PRAGMA journal_mode = WAL")
        writer.execute("CREATE TABLE t (x)")
        writer.execute("INSERT INTO t VALUES (1)")
        writer.commit()
        writer.execute("INSERT INTO t VALUES (2)")
        copy_database(source, target)
    with closing(sqlite3.connect(target)) as copy:
        assert copy.execute("SELECT x FROM t").fetchall() == [(1,)]
    assert sorted(one.name for one in tmp_path.iterdir() if "copy" in one.name) == [
        "copy.db"
    ]


def test_an_unknown_pacs_is_refused_with_its_remedy(tmp_path: Path) -> None:
    with pytest.raises(DemoFailed, match="--pacs embedded"):
        open_pacs("papyrus", Place(tmp_path, 1, 2))


def test_the_invitation_names_addresses(tmp_path: Path) -> None:
    with MiniPacs(tmp_path / "pacs") as pacs:
        words = invitation(Place(tmp_path, 11113, 8081), pacs)
        assert str(pacs.port) in words
    assert "11113" in words
    assert settings.MODALITY in words
