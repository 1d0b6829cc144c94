"""Declarative routing rules."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dicomnode.domain.findings import (
    Code,
    Finding,
    ImageFindings,
    Presence,
    StudyFindings,
)
from dicomnode.domain.following import FinishedJob, refusal
from dicomnode.domain.instance import Instance
from dicomnode.domain.job import Outcome
from dicomnode.domain.rules import Rule, holds, match, selects


def an_instance(**attributes):
    return Instance("1.2.3", "1.2", "1.2.4", "1.2.840.10008.1.2.1", "x", attributes)


@pytest.mark.parametrize(
    ("condition", "values", "expected"),
    [
        ("DX", ("DX",), True),
        ("dx", ("DX ",), True),
        ("DX", ("CR",), False),
        ("DX", (), False),
        (["CR", "DX"], ("DX",), True),
        (["CR", "DX"], ("CT",), False),
        ([], ("CT",), False),
        ("*CHEST*", ("XR CHEST PA",), True),
        ("CHES?", ("CHEST",), True),
        ("[A]", ("A",), False),
        ("[A]", ("[A]",), True),
        ("PRIMARY", ("ORIGINAL", "PRIMARY"), True),
        ({"not": "CT"}, ("DX",), True),
        ({"not": "CT"}, ("CT",), False),
        ({"not": "CT"}, (), True),
        ({"not": ["CT", "MR"]}, ("MR",), False),
        ({"min": 512}, ("512",), True),
        ({"min": 512}, ("511",), False),
        ({"max": 10}, ("10.5",), False),
        ({"min": 1, "max": 3}, ("2",), True),
        ({"min": 1, "max": 3}, ("0", "4"), False),
        ({"min": 1}, ("no number",), False),
        ({"min": 1}, (), False),
        ({"min": 1, "not": "5"}, ("5",), False),
        (3, ("3",), True),
    ],
)
def test_a_condition(condition, values, expected):
    assert holds(condition, values) is expected


def test_all_conditions_must_hold_for_one_and_the_same_instance():
    rule = Rule("p", {"Modality": "DX", "BodyPartExamined": "CHEST"})
    hand = an_instance(Modality="DX", BodyPartExamined="HAND")
    chest_ct = an_instance(Modality="CT", BodyPartExamined="CHEST")
    chest = an_instance(Modality="DX", BodyPartExamined="CHEST")
    assert match([hand, chest_ct], [rule]) == ()
    assert match([hand, chest], [rule]) == (rule,)


def test_rules_keep_their_order_and_may_all_match():
    rules = [Rule(name, {"Modality": "*"}) for name in "cab"]
    assert match([an_instance(Modality="DX")], rules) == tuple(rules)


def test_a_rule_without_conditions_takes_everything():
    assert selects(Rule("all", {}), an_instance())


@given(value=st.text(min_size=1).filter(lambda text: text.strip()))
def test_a_value_without_wildcards_matches_itself_and_not_its_negation(value):
    plain = value.replace("*", "x").replace("?", "x")
    assert holds(plain, (plain,))
    assert not holds({"not": plain}, (plain,))


P, A, U = Presence.PRESENT, Presence.ABSENT, Presence.UNDETERMINED
ANALYSED, NOT_ANALYSED = Outcome.ANALYSED, Outcome.NOT_ANALYSED


@pytest.mark.parametrize(
    ("admitted", "outcome", "found", "why"),
    [
        ({}, ANALYSED, {"inverted": P}, ""),
        ({}, NOT_ANALYSED, {}, ""),
        ({"inverted": (A,)}, ANALYSED, {"inverted": A, "turned": P}, ""),
        ({"inverted": (A, U)}, ANALYSED, {"inverted": U}, ""),
        ({"inverted": (A, U)}, ANALYSED, {"inverted": P},
         "qc says PRESENT of 'inverted', admitted is ABSENT or UNDETERMINED"),
        ({"inverted": (A,)}, ANALYSED, {"turned": A},
         "qc says nothing of 'inverted', admitted is ABSENT"),
        ({"inverted": (A,), "turned": (P,)}, ANALYSED, {"inverted": U, "turned": A},
         "qc says UNDETERMINED of 'inverted', admitted is ABSENT; "
         "qc says ABSENT of 'turned', admitted is PRESENT"),
        ({"inverted": (A,)}, NOT_ANALYSED, {},
         "qc has not analysed the study, so it tells no findings"),
    ],
)  # fmt: skip
def test_findings_of_the_pipeline_before_decide(admitted, outcome, found, why):
    rule = Rule("classify", {}, after="qc", findings=admitted)
    first = FinishedJob("j", "1.2.3", 1, "qc", outcome, found)
    assert refusal(rule, first) == why


@pytest.mark.parametrize(
    ("images", "whole"), [("A", A), ("AU", U), ("UA", U), ("UP", P), ("PAU", P)]
)
def test_the_image_that_shows_most_speaks_for_the_study(images, whole):
    words = {"A": A, "U": U, "P": P}
    code = Code("1", "99TEST", "turned")
    found = StudyFindings(
        tuple(
            ImageFindings(uid, (Finding("turned", code, words[uid], "", uid),))
            for uid in images
        )
    )
    assert found.presences() == {"turned": whole}
