"""More contexts than one association may have: several, and no answer is lost."""

from __future__ import annotations

from pathlib import Path

import pytest

from dicomnode.delivery.contexts import MAX_CONTEXTS, groups, keys_of
from dicomnode.delivery.storage_scu import Peer, StorageScu
from dicomnode.domain.delivery import Outgoing, Sent
from dicomnode.errors import Unreachable
from dicomnode.processes.clock import SystemClock

JPEG = "1.2.840.10008.1.2.4.90"


def a_file(number: int) -> Outgoing:
    return Outgoing(Path("x.dcm"), f"1.2.3.{number}", f"1.2.4.{number}", JPEG)


class Fickle(StorageScu):
    """Answers for the first ``n_groups`` associations, then the peer is gone."""

    def __init__(self, n_groups):
        super().__init__(Peer("PACS", "127.0.0.1", 1, "US"), SystemClock())
        self.n_left = n_groups

    def _send_group(self, group):
        if not self.n_left:
            raise Unreachable("gone; check it")
        self.n_left -= 1
        for one in group:
            yield Sent(one.sop_instance_uid, 0x0000)


def test_no_group_needs_more_contexts_than_an_association_has():
    files = [a_file(number) for number in range(300)]
    cut = list(groups(files))
    assert [one for group in cut for one in group] == files
    for group in cut:
        assert len({key for one in group for key in keys_of(one)}) <= MAX_CONTEXTS


def test_answers_stand_when_the_peer_goes_away_between_two_associations():
    answers = Fickle(1).send([a_file(number) for number in range(200)])
    assert [answer.status for answer in answers] == [0] * 128 + [None] * 72
    assert answers[-1].error == "gone; check it"


def test_a_peer_that_was_never_there_is_unreachable():
    with pytest.raises(Unreachable):
        Fickle(0).send([a_file(1)])
