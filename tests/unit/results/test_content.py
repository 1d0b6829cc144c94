"""Items that are kept and joined as bytes give the very bytes of highdicom's tree."""

from __future__ import annotations

import pytest
from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset

from dicomnode.domain.findings import Code, StudyFindings
from dicomnode.results import codes
from dicomnode.results.charset import keep_bytes
from dicomnode.results.content import Content
from dicomnode.results.item_facts import facts_of
from dicomnode.results.items import container, number_item, text_item
from dicomnode.results.tree import measurement_report, not_analysed_report
from tests.unit.results import cases

FINDINGS = [cases.positive, cases.outlined, cases.every_label, cases.negative]


def written(dataset: Dataset) -> bytes:
    keep_bytes(dataset)
    buffer = DicomBytesIO()
    buffer.is_little_endian, buffer.is_implicit_VR = True, False
    write_dataset(buffer, dataset)
    return buffer.getvalue()


def parts(content: Content) -> list[Content]:
    return [content, *(one for child in content.children for one in parts(child))]


def flat(item: Dataset) -> list[Dataset]:
    children = item.get("ContentSequence") or ()
    return [item, *(one for child in children for one in flat(child))]


@pytest.mark.parametrize("findings", FINDINGS)
def test_joined_bytes_are_those_of_the_whole_tree(findings) -> None:
    root = measurement_report(cases.context(), findings())
    assert root.is_plain
    assert root.encoded() == written(root.tree())


@pytest.mark.parametrize("findings", FINDINGS)
def test_what_is_known_of_the_items_is_what_the_tree_says(findings) -> None:
    root = measurement_report(cases.context(), findings())
    known = [one.part.facts for one in parts(root)]
    assert known == [facts_of(one) for one in flat(root.tree())]


def test_a_second_report_is_made_of_the_same_items_and_says_its_own() -> None:
    first = measurement_report(cases.context(), cases.negative())
    other = cases.context(cases.source(0, PatientOrientation=["R", "F"]))
    second = measurement_report(other, cases.negative())
    assert first.encoded() != second.encoded()
    assert first.encoded() == (
        measurement_report(cases.context(), cases.negative()).encoded()
    )


def test_text_beyond_ascii_waits_for_the_character_set() -> None:
    findings: StudyFindings = cases.not_analysed()
    root = not_analysed_report(cases.context(language="de"), findings)
    assert not root.is_plain
    assert not text_item(codes.COMMENT, "Lungenödem").is_plain
    assert any(one.is_plain for one in root.children)


def test_a_tree_of_its_own_may_be_changed() -> None:
    item = container(codes.FINDINGS, [text_item(codes.COMMENT, "as it was")])
    before = item.encoded()
    item.tree().ContentSequence[0].TextValue = "changed"
    assert item.encoded() == before


def test_a_count_and_the_same_measure_are_two_items() -> None:
    pixels = Code("1", "DCM", "pixels")
    counted = number_item(codes.PIXEL_DATA_ROWS, 512, pixels)
    measured = number_item(codes.PIXEL_DATA_ROWS, 512.0, pixels)
    assert b"512.0" not in counted.encoded()
    assert b"512.0" in measured.encoded()
