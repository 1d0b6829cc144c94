"""Which earlier documents a new one replaces."""

from __future__ import annotations

from dicomnode.domain.result import KeptResult, predecessors_of

COMPREHENSIVE, ENHANCED = "1.88.33", "1.88.22"


def kept(uid: str, revision: int, kind: str = "sr", sop_class: str = COMPREHENSIVE):
    return KeptResult(kind, sop_class, uid, "1.9", uid, revision)


def test_the_newest_revision_of_the_same_kind_is_replaced():
    earlier = [kept("1", 1), kept("2", 2), kept("3", 2, "sr-text"), kept("4", 3, "sc")]
    assert predecessors_of(earlier, "sr", COMPREHENSIVE) == (earlier[1],)
    assert predecessors_of(earlier, "sr-text", "1.88.11") == (earlier[2],)


def test_of_several_profiles_each_replaces_its_own():
    earlier = [kept("1", 1), kept("2", 1, sop_class=ENHANCED)]
    assert predecessors_of(earlier, "sr", ENHANCED) == (earlier[1],)
    assert predecessors_of(earlier, "sr", "1.88.34") == tuple(earlier)


def test_the_first_analysis_replaces_nothing():
    assert predecessors_of([], "sr", COMPREHENSIVE) == ()
