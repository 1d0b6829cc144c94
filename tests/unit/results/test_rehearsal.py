"""What is made only once is made before the first study, and nothing comes of it."""

from __future__ import annotations

import sys
from dataclasses import replace

import pytest

from dicomnode.errors import ResultError
from dicomnode.results import build, canvas, codes, heatmap, rehearse
from tests.unit.results import cases

MADE_ONCE = (canvas.font, heatmap._mixed, codes.modality)


def times_made() -> list[int]:
    return [one.cache_info().misses for one in MADE_ONCE]


def forget_all() -> None:
    """As in a new process: what is made of something kept is kept as well."""
    for name, module in list(sys.modules.items()):
        if name.startswith("dicomnode.results"):
            for one in vars(module).values():
                if callable(getattr(one, "cache_clear", None)):
                    one.cache_clear()


def test_the_first_study_finds_all_made() -> None:
    forget_all()
    rehearse(cases.context(), ["sr", "sc", "gsps"])
    rehearsed = times_made()
    assert min(rehearsed) > 0
    for findings in (cases.negative(), cases.positive()):
        build(cases.context(), findings, ["sr", "sc", "gsps"])
    assert times_made() == rehearsed


@pytest.mark.parametrize("labels", [(), ("rotated-90", "Ödem")])
def test_every_bundle_can_be_rehearsed(labels: tuple[str, ...]) -> None:
    expected = build(cases.context(), cases.positive(), ["sr", "sc"])
    bundle = replace(cases.BUNDLE, labels=labels)
    rehearse(cases.context(bundle=bundle, language="de"), ["sr", "sc", "gsps"])
    after = build(cases.context(), cases.positive(), ["sr", "sc"])
    assert [one.sop_instance_uid for one in after] == [
        one.sop_instance_uid for one in expected
    ]


def test_what_the_first_study_would_fail_of_is_said() -> None:
    nobody = replace(cases.NODE, manufacturer="")
    with pytest.raises(ResultError, match=r"Manufacturer \(Type 1\)"):
        rehearse(cases.context(node=nobody), ["sr"])
