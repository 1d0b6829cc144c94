"""Threads that are used again, and buffers."""

from __future__ import annotations

import threading

from dicomnode.receiver.buffers import BUFFER_BYTES, Buffers
from dicomnode.receiver.crew import Crew

HANG_SECONDS = 60


def named(crew: Crew) -> threading.Thread:
    """The thread that does a task."""
    found: list[threading.Thread] = []
    done = threading.Event()

    def task() -> None:
        found.append(threading.current_thread())
        done.set()

    crew.run(task)
    assert done.wait(HANG_SECONDS)
    return found[0]


def rests(crew: Crew, n_idle: int) -> None:
    ended = threading.Event()
    while len(crew._idle) != n_idle:
        assert not ended.wait(0.001)


def test_a_thread_is_used_again() -> None:
    crew = Crew()
    first = named(crew)
    rests(crew, 1)
    assert named(crew) is first


def test_as_many_as_there_are_tasks() -> None:
    crew, together = Crew(), threading.Barrier(6)
    for _ in range(5):
        crew.run(together.wait)
    together.wait(HANG_SECONDS)
    rests(crew, 5)


def test_one_that_is_idle_for_long_ends() -> None:
    crew = Crew(idle_seconds=0.01)
    thread = named(crew)
    thread.join(HANG_SECONDS)
    assert not thread.is_alive()
    assert named(crew) is not thread


def test_a_task_may_come_in_the_moment_that_a_thread_gives_up() -> None:
    crew, n_done = Crew(idle_seconds=0), threading.Semaphore(0)
    for _ in range(2000):
        crew.run(n_done.release)
    for _ in range(2000):
        assert n_done.acquire(timeout=HANG_SECONDS)


def test_a_buffer_is_used_again_and_only_some_are_kept() -> None:
    buffers = Buffers(most_kept=1)
    first, second = buffers.taken(), buffers.taken()
    assert first is not second
    assert len(first) == BUFFER_BYTES
    buffers.give_back(first)
    buffers.give_back(second)
    assert buffers.taken() is first
    assert buffers.taken() is not second
