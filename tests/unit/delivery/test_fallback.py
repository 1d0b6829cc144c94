"""The same report under another SOP class: nothing else changes, and always alike."""

from __future__ import annotations

from functools import cache
from io import BytesIO

import pytest
from pydicom import dcmread

from dicomnode.domain.delivery import LESS, profile_of
from dicomnode.results import SOP_CLASSES, BuiltResult, build, encode
from dicomnode.results.alternates import in_profile
from tests.unit.results import cases


@cache
def report(which: str = "positive") -> BuiltResult:
    return build(cases.context(), getattr(cases, which)(), ["sr"])[0]


def other(which: str = "positive") -> BuiltResult:
    return in_profile(encode(report(which).dataset), "enhanced")


def test_only_the_class_and_the_uid_change() -> None:
    first, second = dcmread(BytesIO(encode(report().dataset))), other().dataset
    assert first.keys() == second.keys()
    differing = {one.keyword for one in second if first[one.tag] != one}
    assert differing == {"SOPClassUID", "SOPInstanceUID"}
    assert second.SOPClassUID == SOP_CLASSES["enhanced"]
    assert second.file_meta.MediaStorageSOPClassUID == SOP_CLASSES["enhanced"]
    assert second.file_meta.MediaStorageSOPInstanceUID == second.SOPInstanceUID


def test_the_same_report_gives_the_same_bytes() -> None:
    assert encode(other().dataset) == encode(other().dataset)


def test_another_report_gives_another_uid() -> None:
    assert other().sop_instance_uid != other("negative").sop_instance_uid
    assert other().sop_instance_uid != report().sop_instance_uid


def test_dates_are_not_content() -> None:
    later = build(
        cases.context(analysed_at=cases.ANALYSED_AT.replace(day=28)),
        cases.positive(),
        ["sr"],
    )[0]
    again = in_profile(encode(later.dataset), "enhanced")
    assert again.sop_instance_uid == other().sop_instance_uid


@pytest.mark.parametrize("profile", ["comprehensive-3d", "comprehensive", "enhanced"])
def test_every_profile_has_its_class(profile: str) -> None:
    assert profile_of(str(SOP_CLASSES[profile])) == profile
    assert LESS.get(profile) != profile
