"""What the supervisor starts: a worker for each device and process, the rest once."""

from __future__ import annotations

import pytest

from dicomnode.config import load
from dicomnode.processes.run import commands

ROLES = {"receive", "keep", "work", "deliver", "web"}


@pytest.fixture
def configured(tmp_path):
    def load_with(text):
        path = tmp_path / "config.toml"
        path.write_text(f'[node]\ndata_dir = "{tmp_path}"\n{text}', "utf-8")
        return load(path)

    return load_with


def workers(config):
    found = [one for one in commands(config) if one.role == "work"]
    return [one.environ["DICOMNODE_WORKER__DEVICE"] for one in found]


def test_every_role_is_started_once(configured):
    started = [one.role for one in commands(configured(""))]
    assert (len(started), set(started)) == (len(ROLES), ROLES)
    without_web = commands(configured("[web]\nenabled = false"))
    assert {one.role for one in without_web} == ROLES - {"web"}


@pytest.mark.parametrize(
    ("table", "devices"),
    [
        ("", ["auto"]),
        ('device = "cpu"\nprocesses = 2', ["cpu", "cpu"]),
        ('devices = ["cuda:0", "cuda:1", "cpu"]', ["cuda:0", "cuda:1", "cpu"]),
        ('devices = ["cuda:0", "cpu"]\nprocesses = 2', ["cuda:0"] * 2 + ["cpu"] * 2),
    ],
)
def test_each_worker_has_its_device(configured, table, devices):
    assert workers(configured(f"[worker]\n{table}")) == devices


def test_a_worker_takes_the_device_that_it_was_started_with(configured, monkeypatch):
    config = configured('[worker]\ndevices = ["cuda:1", "cpu"]')
    for expected in ("cuda:1", "cpu"):
        monkeypatch.setenv("DICOMNODE_WORKER__DEVICE", expected)
        assert load(config.file).worker.device == expected
