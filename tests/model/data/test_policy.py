"""Uncertain and blank labels become targets by a policy."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model.data.dataset import targets
from model.data.manifest import ManifestError
from model.data.policy import parse_policy
from model.network import Head
from tests.model.test_data import row

HEAD = Head("finding", ("Edema", "Atelectasis", "Fracture", "Hernia"), "sigmoid")
SAID = {
    "labels": {"Edema": 1.0},
    "uncertain": frozenset({"Atelectasis"}),
    "blank": frozenset({"Fracture"}),
}


def made(uncertain="ignore", blank="ignore", **more):
    [values] = targets([row(1, **SAID, **more)], HEAD, parse_policy(uncertain, blank))
    return [None if np.isnan(v) else float(v) for v in values]


@pytest.mark.parametrize(
    ("uncertain", "blank", "target"),
    [
        ("ignore", "ignore", [1, None, None, None]),
        ("ones", "ignore", [1, 1, None, None]),
        ("zeros", "ignore", [1, 0, None, None]),
        ("ignore", "negative", [1, None, 0, None]),
        ({"Atelectasis": "ones", "default": "zeros"}, "ignore", [1, 1, None, None]),
        ({"Edema": "ones", "default": "zeros"}, "ignore", [1, 0, None, None]),
        ({"Edema": "ones"}, {"Fracture": "negative"}, [1, None, 0, None]),
        ("ones", {"Edema": "negative"}, [1, 1, None, None]),
    ],
)
def test_policies(uncertain, blank, target):
    assert made(uncertain, blank) == target


def test_without_a_policy_nothing_is_guessed():
    assert np.isnan(targets([row(1, **SAID)], HEAD)[0, 1:]).all()


def test_masks_of_heads_and_of_labels_come_first():
    everything = ("ones", "negative")
    assert made(*everything, mask=frozenset({"finding"})) == [None] * 4
    masked = frozenset({"Edema", "Atelectasis", "Fracture"})
    assert made(*everything, mask=masked) == [None] * 4


@settings(max_examples=40, deadline=None)
@given(st.text("abc/.0", max_size=20), st.floats(0, 0.5), st.floats(0.5, 1))
def test_a_soft_target_is_in_its_interval_and_never_changes(path, low, high):
    policy = parse_policy(f"soft({low:.6f}, {high:.6f})")
    one = policy.target(row(1, **SAID, path=path), "Atelectasis")
    assert low - 1e-6 <= one <= high + 1e-6
    assert one == policy.target(row(2, **SAID, path=path), "Atelectasis")


def test_soft_targets_fill_the_interval():
    policy = parse_policy("soft(0.55,0.85)")
    drawn = [policy.target(row(n, **SAID), "Atelectasis") for n in range(400)]
    assert np.mean(drawn) == pytest.approx(0.7, abs=0.02)
    assert min(drawn) < 0.57
    assert max(drawn) > 0.83


@pytest.mark.parametrize("word", ["maybe", "soft(0.9,0.1)", "soft(0,2)", "soft(a,b)"])
def test_unknown_words_are_refused_with_the_remedy(word):
    with pytest.raises(ManifestError, match="use ignore, ones, zeros or soft"):
        parse_policy(word)
    with pytest.raises(ManifestError, match="use ignore or negative"):
        parse_policy(blank={"Edema": word})
