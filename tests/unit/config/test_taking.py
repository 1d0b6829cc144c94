"""What a running node takes up of a changed configuration."""

from __future__ import annotations

from pathlib import Path

import pytest

from dicomnode.config import Config, load, take

BEFORE = """
[node]
data_dir = "var"
[receiver]
port = 11112
[[peer]]
ae_title = "CT1"
hosts = ["10.0.0.1"]
[[retention.rule]]
match = { Modality = "CT" }
keep_days = 2
[[account]]
name = "ann"
secret = "scrypt:AAAAAAAAAAAAAAAAAAAAAA==:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="
"""


def read(folder: Path, text: str) -> Config:
    (folder / "config.toml").write_text(text)
    return load(folder / "config.toml", environ={})


@pytest.mark.parametrize(
    ("old", "new", "changed"),
    [
        ('"10.0.0.1"', '"10.0.0.2"', "peer[1].hosts"),
        (
            "[receiver]",
            '[receiver]\nunknown_peers = "accept"',
            "receiver.unknown_peers",
        ),
        ("[receiver]", "[study]\nquiet_seconds = 5\n[receiver]", "study.quiet_seconds"),
        (":AAAA", ":BBBB", "account[1].secret"),
        ("keep_days = 2", "keep_days = 3", "retention.rule[1].keep_days"),
        ("[receiver]", '[web]\nmetrics = "anyone"\n[receiver]', "web.metrics"),
    ],
)
def test_what_is_taken_up(tmp_path, old, new, changed):
    before = read(tmp_path, BEFORE)
    taken = take(before, read(tmp_path, BEFORE.replace(old, new)))
    assert (taken.changed, taken.waiting) == ((changed,), ())
    assert taken.touches([changed.partition(".")[0].partition("[")[0]])
    assert not taken.touches(["destination"])


@pytest.mark.parametrize(
    ("old", "new", "waiting"),
    [
        ('"var"', '"other"', "node.data_dir"),
        ("11112", "11113", "receiver.port"),
        ("[receiver]", "[web]\nport = 1\n[receiver]", "web.port"),
        ("[receiver]", "[audit]\nenabled = false\n[receiver]", "audit.enabled"),
    ],
)
def test_what_waits_for_a_restart_stays_as_it_was(tmp_path, old, new, waiting):
    before = read(tmp_path, BEFORE)
    taken = take(before, read(tmp_path, BEFORE.replace(old, new)))
    assert (taken.changed, taken.waiting) == ((), (waiting,))
    assert taken.config.model_dump() == before.model_dump()


def test_a_table_that_comes_or_goes_is_a_change(tmp_path):
    before = read(tmp_path, BEFORE)
    more = BEFORE + '[[peer]]\nae_title = "CT2"\nhosts = ["10.0.0.3"]\n'
    added = take(before, read(tmp_path, more))
    assert added.changed == ("peer[2]",)
    removed = take(added.config, before)
    assert removed.changed == added.changed
    assert removed.config.peer == before.peer


def test_every_table_is_taken_or_waits(tmp_path):
    before = read(tmp_path, BEFORE)
    assert take(before, before).changed == ()
    assert take(before, before).config.model_dump() == before.model_dump()
