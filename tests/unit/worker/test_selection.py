"""Which images a pipeline analyses, and the reason for each that it does not."""

from __future__ import annotations

import pytest

from dicomnode.domain.findings import BundleInput
from dicomnode.domain.instance import Instance
from dicomnode.domain.ownership import INSTANCE_CREATOR_UID, MANUFACTURER
from dicomnode.domain.rules import Rule
from dicomnode.worker.selection import select, why_not

DX = "1.2.840.10008.5.1.4.1.1.1.1"
ACCEPTED = BundleInput(
    ("CR", "DX"), (DX,), ("CHEST", "THORAX"), 200, 200, 2, ("PA", "AP")
)
RULE = Rule("cxr", {"Modality": ["CR", "DX", "OT"]})


def an_image(uid="1.2.3", sop_class_uid=DX, **changes):
    attributes = {
        "Modality": "DX",
        "BodyPartExamined": "CHEST",
        "Rows": "2000",
        "Columns": "1800",
        **changes,
    }
    return Instance(uid, sop_class_uid, "1.2", "1.2.840.10008.1.2.1", uid, attributes)


def test_what_fits_is_analysed_in_the_order_of_the_study():
    images = [an_image("1.3", InstanceNumber="2"), an_image("1.4", InstanceNumber="1")]
    selection = select(images, RULE, ACCEPTED)
    assert [one.sop_instance_uid for one in selection.images] == ["1.4", "1.3"]
    assert selection.excluded == ()


@pytest.mark.parametrize(
    ("image", "reason"),
    [
        (an_image(Modality="OT"), "modality OT"),
        (an_image(sop_class_uid="1.2.840.10008.5.1.4.1.1.7"), "SOP class"),
        (an_image(BodyPartExamined="HAND"), "body part HAND"),
        (an_image(ViewPosition="LL"), "view LL"),
        (an_image(NumberOfFrames="12"), "multi-frame"),
        (an_image(Rows="64"), "64 x 1800 pixels"),
        (an_image(Rows="", Columns=""), "0 x 0 pixels"),
    ],
)
def test_what_does_not_fit_is_excluded_with_its_reason(image, reason):
    selection = select([image], RULE, ACCEPTED)
    assert selection.images == ()
    [excluded] = selection.excluded
    assert reason in excluded.reason
    assert excluded.sop_instance_uid == image.sop_instance_uid


@pytest.mark.parametrize("keyword", ["BodyPartExamined", "ViewPosition"])
def test_a_missing_body_part_or_view_is_accepted(keyword):
    assert why_not(an_image(**{keyword: ""}), ACCEPTED) == ""


def test_what_the_rule_does_not_want_is_not_even_excluded():
    assert select([an_image(Modality="CT")], RULE, ACCEPTED).excluded == ()


def test_images_beyond_the_limit_are_named():
    images = [an_image(f"1.{n}", InstanceNumber=str(n)) for n in (1, 2, 3)]
    selection = select(images, RULE, ACCEPTED)
    assert len(selection.images) == 2
    assert [one.sop_instance_uid for one in selection.excluded] == ["1.3"]
    assert "at most 2" in selection.excluded[0].reason


@pytest.mark.parametrize(
    "mark",
    [{"InstanceCreatorUID": INSTANCE_CREATOR_UID}, {"Manufacturer": MANUFACTURER}],
)
def test_our_own_results_are_never_analysed(mark):
    selection = select([an_image(**mark)], Rule("all", {}), BundleInput())
    assert selection == select([], Rule("all", {}), BundleInput())
