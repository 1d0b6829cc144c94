"""Images of several studies share a forward pass; the urgent first, none in vain."""

from __future__ import annotations

from threading import Event

import pytest

from dicomnode.batching import Batcher
from dicomnode.errors import PredictionFailed

NEVER = 1000.0
"""Seconds: a test that waited them out would hang."""


class Network:
    """Notes its batches; holds the first until it is let go."""

    def __init__(self, most=100, error=None):
        self.most, self.error = most, error
        self.batches, self.began, self.let_go = [], Event(), Event()

    def prepare(self, image):
        return image

    def run(self, prepared):
        self.batches.append(list(prepared))
        self.began.set()
        assert self.let_go.wait(60)
        if self.error:
            raise self.error
        return [f"seen {one}" for one in prepared]


def submitted(batcher, network, names, priority=0):
    with batcher.lane(network, len(names), priority) as lane:
        return [lane.submit(one) for one in names]


def busy(network, batcher):
    """With a batch in the network, so that what comes now gathers."""
    first = submitted(batcher, network, ["first"])
    assert network.began.wait(60)
    return first


def test_what_gathers_while_the_network_runs_goes_together_the_urgent_first():
    network, batcher = Network(most=4), Batcher(16, 0)
    answers = busy(network, batcher)
    answers += submitted(batcher, network, ["ct0", "ct1", "ct2"])
    answers += submitted(batcher, network, ["dx0"])
    answers += submitted(batcher, network, ["stat0", "stat1"], priority=1)
    batcher._preparing.submit(int).result()
    network.let_go.set()
    said = [one.result(60) for one in answers]
    batcher.close()
    assert network.batches == [
        ["first"],
        ["stat0", "stat1", "ct0", "dx0"],
        ["ct1", "ct2"],
    ]
    assert said[1:5] == ["seen ct0", "seen ct1", "seen ct2", "seen dx0"]


def test_two_networks_do_not_mix():
    one, other, batcher = Network(), Network(), Batcher(16, 0)
    other.let_go.set()
    answers = busy(one, batcher)
    for name in ("a", "b"):
        answers += submitted(batcher, one, [f"one {name}"])
        answers += submitted(batcher, other, [f"other {name}"])
    batcher._preparing.submit(int).result()
    one.let_go.set()
    for answer in answers:
        answer.result(60)
    batcher.close()
    assert one.batches[1:] == [["one a", "one b"]]
    assert other.batches == [["other a", "other b"]]


def test_an_image_waits_for_company_only_while_others_are_on_their_way():
    network, batcher = Network(), Batcher(2, NEVER)
    network.let_go.set()
    with batcher.lane(network, 1, 0) as alone:
        assert alone.submit("alone").result(60) == "seen alone"
    with batcher.lane(network, 2, 0) as lane:
        waits = lane.submit("one")
        lane.skip()
        assert waits.result(60) == "seen one"
    with batcher.lane(network, 2, 0) as lane:
        answers = [lane.submit("two"), lane.submit("three")]
        assert [one.result(60) for one in answers] == ["seen two", "seen three"]
    batcher.close()
    assert network.batches == [["alone"], ["one"], ["two", "three"]]


def test_a_batch_that_fails_fails_for_each_of_its_images_and_no_later_one():
    network, batcher = Network(error=PredictionFailed("no; retry")), Batcher(16, NEVER)
    network.let_go.set()
    for one in submitted(batcher, network, ["a", "b"]):
        with pytest.raises(PredictionFailed):
            one.result(60)
    network.error = None
    (later,) = submitted(batcher, network, ["c"])
    assert later.result(60) == "seen c"
    batcher.close()
