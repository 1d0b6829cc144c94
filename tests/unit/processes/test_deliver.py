"""Which threads a deliverer has."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from threading import Event
from types import SimpleNamespace

import pytest

from dicomnode.config import load
from dicomnode.processes.deliver import _foresee, _lanes, _wake
from dicomnode.worklist import open_worklist, upgrade

CONFIG = """
[node]
data_dir = "{folder}"

[delivery]
idle_seconds = {idle_seconds}

[[destination]]
name = "PACS"
ae_title = "PACS"
host = "127.0.0.1"
port = 104
storage_commitment = "{commitment}"

[[destination]]
name = "ARCHIVE"
ae_title = "ARCHIVE"
host = "127.0.0.1"
port = 105
storage_commitment = "{commitment}"
"""


@pytest.fixture
def lanes(tmp_path: Path):
    """The lanes under a configuration."""
    url = f"sqlite:///{tmp_path / 'worklist.db'}"
    upgrade(url)
    with open_worklist(url) as worklist, ExitStack() as senders:

        def made(idle_seconds=2, commitment="auto"):
            words = CONFIG.format(
                folder=tmp_path, idle_seconds=idle_seconds, commitment=commitment
            )
            (tmp_path / "config.toml").write_text(words, "utf-8")
            config = load(tmp_path / "config.toml")
            audit = SimpleNamespace(sender=lambda scu, _destination: scu)
            return list(_lanes(config, Event(), worklist, audit, senders))

        yield made


def names(lanes):
    return [(one.name, len(one.rounds), one.sends) for one in lanes]


def test_who_asks_for_commitment_holds_up_nobody_who_sends(lanes):
    assert names(lanes()) == [
        ("PACS", 1, True),
        ("PACS storage commitment", 1, False),
        ("ARCHIVE", 1, True),
        ("ARCHIVE storage commitment", 1, False),
    ]


def test_a_destination_that_serves_one_association_gets_one_at_a_time(lanes):
    assert names(lanes(idle_seconds=0)) == [("PACS", 2, True), ("ARCHIVE", 2, True)]


def test_nobody_asks_where_no_commitment_is_wanted(lanes):
    assert names(lanes(commitment="off")) == [("PACS", 1, True), ("ARCHIVE", 1, True)]


def test_results_are_announced_to_those_who_will_get_them(lanes):
    pacs, archive = lanes(commitment="off")
    _foresee([pacs, archive], frozenset({"ARCHIVE"}))
    assert not pacs.rest.was_foreseen()
    assert archive.rest.was_foreseen()
    assert not archive.rest.was_foreseen()
    _wake([pacs])
    assert not pacs.rest.was_foreseen()
