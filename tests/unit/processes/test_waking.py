"""One process tells another to look into the worklist; a lost word costs nothing."""

from __future__ import annotations

import os
from queue import Queue
from threading import Event
from types import SimpleNamespace

import pytest

from dicomnode.processes import waking
from dicomnode.processes.deliver import Rest


@pytest.fixture
def config(tmp_path):
    return SimpleNamespace(node=SimpleNamespace(data_dir=tmp_path))


def test_a_listener_hears_each_word_for_its_role(config):
    heard: Queue[str] = Queue()
    with waking.woken(config, "work", lambda: heard.put("work")):
        for _ in range(3):
            waking.wake(config, "deliver")
            waking.wake(config, "work")
            assert heard.get(timeout=60) == "work"
        assert heard.empty()
    assert not list((config.node.data_dir / "wake").iterdir())


def test_what_is_announced_is_no_word_to_look(config):
    heard: Queue[object] = Queue()
    looks, hears = (lambda: heard.put("look")), heard.put
    with waking.woken(config, "deliver", looks, hears):
        waking.announce(config, "deliver", ["PACS", "Arc h\nive/2"])
        assert heard.get(timeout=60) == {"PACS", "Arc h\nive/2"}
        waking.announce(config, "deliver", [])
        waking.wake(config, "deliver")
        assert heard.get(timeout=60) == "look"
        assert heard.empty()


def test_who_hears_no_announcements_goes_on(config):
    heard: Queue[str] = Queue()
    with waking.woken(config, "deliver", lambda: heard.put("look")):
        waking.announce(config, "deliver", ["PACS"])
        waking.wake(config, "deliver")
        assert heard.get(timeout=60) == "look"


def test_the_pipe_of_a_process_that_died_is_taken_away(config):
    folder = config.node.data_dir / "wake"
    folder.mkdir()
    os.mkfifo(folder / "work-1.pipe")
    waking.wake(config, "work")
    assert not list(folder.iterdir())


def test_a_listener_that_does_not_read_holds_up_nobody(config):
    folder = config.node.data_dir / "wake"
    folder.mkdir()
    os.mkfifo(folder / "work-1.pipe")
    pipe = os.open(folder / "work-1.pipe", os.O_RDWR | os.O_NONBLOCK)
    try:
        while True:
            os.write(pipe, b"!" * 4096)
    except BlockingIOError:
        waking.wake(config, "work")
    os.close(pipe)


def test_a_folder_that_cannot_hold_a_pipe_only_costs_the_words(config):
    config.node.data_dir = config.node.data_dir / "file"
    config.node.data_dir.write_text("x", "utf-8")
    with waking.woken(config, "work", lambda: None):
        waking.wake(config, "work")


def test_a_rest_that_was_ended_before_it_began_is_over_at_once():
    stop = Event()
    rest = Rest(10_000, stop)
    rest.end()
    rest.take()
    assert not rest.is_for_good
    stop.set()
    assert rest.is_for_good
