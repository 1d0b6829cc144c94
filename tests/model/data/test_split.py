"""The split: frozen, by patient, whatever is added."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model.data.manifest import ManifestError
from model.data.split import SplitRule, assign, place_of, without_copies
from tests.model.test_data import row

NAMES = st.text(min_size=1, max_size=12)
SHARES = st.tuples(st.floats(0, 0.45), st.floats(0, 0.45))


def rows_of(patients, split=""):
    return [row(n, patient=name, split=split) for n, name in enumerate(patients)]


@settings(max_examples=40, deadline=None)
@given(st.lists(NAMES, min_size=1, unique=True), st.lists(NAMES), SHARES)
def test_adding_data_never_moves_a_patient(patients, more, shares):
    rule = SplitRule("hash", *shares)
    first = {r.patient: r.split for r in assign(rows_of(patients), rule, Counter())}
    grown = assign(rows_of([*more, *patients]), rule, Counter())
    later = {r.patient: r.split for r in grown}
    assert {name: later[name] for name in patients} == first


@settings(max_examples=40, deadline=None)
@given(st.lists(NAMES, min_size=1), SHARES)
def test_a_patient_is_in_one_part(patients, shares):
    split = assign(rows_of(patients), SplitRule("hash", *shares), Counter())
    parts = {}
    for one in split:
        assert parts.setdefault(one.patient, one.split) == one.split


@settings(max_examples=40, deadline=None)
@given(NAMES, st.floats(0, 0.4), st.floats(0, 0.4))
def test_a_larger_validation_part_takes_from_training_only(patient, less, more):
    small, large = sorted((less, more))
    before = SplitRule("hash", val=small, test=0.2).part(patient)
    after = SplitRule("hash", val=large, test=0.2).part(patient)
    assert after == before or (before, after) == ("train", "val")


def test_the_hash_is_frozen():
    """These values were written down once; a change would move every patient."""
    assert place_of("chexpert-patient00001") == pytest.approx(FROZEN[0], abs=1e-12)
    assert place_of("nih-00000061") == pytest.approx(FROZEN[1], abs=1e-12)


FROZEN = (0.4221809681537003, 0.07703032589658676)


def test_shares_are_met_over_many_patients():
    split = assign(rows_of(map(str, range(4000))), SplitRule("hash"), Counter())
    counts = Counter(r.split for r in split)
    assert abs(counts["val"] - 400) < 60
    assert abs(counts["test"] - 400) < 60


@settings(max_examples=40, deadline=None)
@given(st.lists(NAMES, min_size=1, unique=True))
def test_official_parts_are_kept_and_validation_comes_from_training(patients):
    train = rows_of(patients, "train")
    test = [row(9999, patient="of the test", split="test")]
    split = assign([*train, *test], SplitRule(val=0.3), Counter())
    assert split[-1].split == "test"
    assert {r.split for r in split[:-1]} <= {"train", "val"}
    with_val = [*train, row(9998, patient="of val", split="val")]
    assert assign(with_val, SplitRule(val=0.3), Counter()) == with_val


def test_shares_must_leave_something_to_train():
    for val, test in ((0.5, 0.5), (-0.1, 0.2), (1.0, 0.0)):
        with pytest.raises(ManifestError, match="together below 1"):
            SplitRule("hash", val, test)


def test_a_part_of_another_name_is_refused():
    with pytest.raises(ManifestError, match="call it train, val or test"):
        assign([row(1, split="dev")], SplitRule(), Counter())


def test_only_the_worse_copy_is_left_out():
    a, b, c = row(1, split="train"), row(2, split="val"), row(3, split="train")
    left_out = Counter()
    kept = without_copies([a, replace(b, sha256=a.sha256), c], left_out)
    assert [r.path for r in kept] == ["2.png", "3.png"]
    assert left_out.total() == 1
    twice = [a, replace(c, sha256=a.sha256)]
    assert without_copies(twice, Counter()) == twice  # one part: no leak
