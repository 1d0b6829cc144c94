"""The same input gives the same bytes; any other input another UID."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from io import BytesIO

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom import dcmread

from dicomnode.domain.findings import StudyFindings
from dicomnode.errors import ResultError
from dicomnode.results import (
    BuiltResult,
    ReportContext,
    build,
    build_reports,
    draw_pictures,
    encode,
)
from dicomnode.results.encoding import encode_data_set
from dicomnode.results.uids import is_valid_uid, uid_from
from tests.unit.results import cases


def built(
    findings: StudyFindings | None = None, context: ReportContext | None = None
) -> dict[str, BuiltResult]:
    results = build(
        context or cases.context(), findings or cases.negative(), ["sr", "sc"]
    )
    return {one.kind: one for one in results}


def test_two_runs_give_identical_files() -> None:
    first, second = built(), built()
    assert first.keys() == second.keys() == {"sr", "sr-text", "sc"}
    for kind, one in first.items():
        assert encode(one.dataset) == encode(second[kind].dataset)


def test_the_facts_beside_a_result_are_those_in_it() -> None:
    for one in built().values():
        read = dcmread(BytesIO(encode(one.dataset)))
        assert read.SOPClassUID == one.sop_class_uid
        assert read.SOPInstanceUID == one.sop_instance_uid
        assert read.SeriesInstanceUID == one.series_instance_uid
        assert read.file_meta.MediaStorageSOPInstanceUID == one.sop_instance_uid
        assert read.file_meta.TransferSyntaxUID == "1.2.840.10008.1.2.1"


def test_the_data_set_is_the_end_of_the_file() -> None:
    for one in built().values():
        assert encode(one.dataset).endswith(encode_data_set(one.dataset))


def test_reading_a_result_does_not_change_its_bytes() -> None:
    for one in built().values():
        before = encode(one.dataset)
        str(one.dataset)
        assert encode(one.dataset) == before


def test_pictures_are_finished_in_any_order_by_any_thread() -> None:
    kinds = ["sr", "sc", "gsps"]
    expected = build(cases.context(), cases.outlined(), kinds)
    finishing = list(draw_pictures(cases.context(), cases.outlined(), kinds))
    with ThreadPoolExecutor(3) as hands:
        last_first = [hands.submit(one) for one in reversed(finishing)]
        drawn = [one.result() for one in reversed(last_first)]
    reports = build_reports(cases.context(), cases.outlined(), kinds, lambda: drawn)
    made = [b"".join(one.encoded) for one in (*reports, *drawn)]
    assert made == [b"".join(one.encoded) for one in expected]


def test_what_is_not_conformant_is_said_when_a_picture_is_finished() -> None:
    context = cases.context(node=replace(cases.NODE, manufacturer=""))
    for finish in draw_pictures(context, cases.positive(), ["sc"]):
        with pytest.raises(ResultError, match=r"Manufacturer \(Type 1\)"):
            finish()


@pytest.mark.parametrize(
    "changes",
    [
        {"instance_number": 2},
        {"job_id": "another"},
        {"bundle": replace(cases.BUNDLE, version="1.2.1")},
        {"node": replace(cases.NODE, software_version="0.2.0")},
        {"sources": (cases.source(PatientName="Other^Name"),)},
    ],
)
def test_any_difference_gives_another_instance(changes: dict[str, object]) -> None:
    first, second = built(), built(context=replace(cases.context(), **changes))
    for kind, one in first.items():
        assert one.sop_instance_uid != second[kind].sop_instance_uid


def test_other_findings_give_other_instances_in_the_same_series() -> None:
    first, second = built(), built(cases.positive())
    for kind, one in first.items():
        assert one.sop_instance_uid != second[kind].sop_instance_uid
        assert one.series_instance_uid == second[kind].series_instance_uid


def test_another_map_gives_another_heat_map() -> None:
    label = cases.finding("Pneumonia", 0.9)
    moved = replace(label, activation_map=cases.blob(0.2, 0.2))
    first = built(StudyFindings(images=(cases.image(label),)))
    second = built(StudyFindings(images=(cases.image(moved),)))
    assert first["sc"].sop_instance_uid != second["sc"].sop_instance_uid


def test_dates_are_not_content() -> None:
    later = cases.ANALYSED_AT + timedelta(hours=3)
    first, second = built(), built(context=cases.context(analysed_at=later))
    for kind, one in first.items():
        assert one.sop_instance_uid == second[kind].sop_instance_uid
        assert one.dataset.ContentTime != second[kind].dataset.ContentTime


def test_companions_do_not_depend_on_the_profile() -> None:
    first = built()
    second = built(context=cases.context(profile="enhanced"))
    for kind in ("sr-text", "sc"):
        assert encode(first[kind].dataset) == encode(second[kind].dataset)
    assert first["sr"].sop_instance_uid != second["sr"].sop_instance_uid


def test_each_kind_has_its_own_series_and_bundles_do_not_share() -> None:
    first = built()
    other = built(context=cases.context(bundle=replace(cases.BUNDLE, digest="d1")))
    series = [one.series_instance_uid for one in (*first.values(), *other.values())]
    assert len(set(series)) == 6
    numbers = {kind: int(one.dataset.SeriesNumber) for kind, one in first.items()}
    assert numbers == {"sr-text": 9800, "sr": 9801, "sc": 9802}


def test_the_series_says_that_it_is_research() -> None:
    name = "a-bundle-with-a-name-that-goes-on-and-on-and-on-and-on-and-on"
    long = replace(cases.BUNDLE, name=name)
    for one in built(context=cases.context(bundle=long)).values():
        description = one.dataset.SeriesDescription
        assert description.startswith("AI ")
        assert description.endswith("Research use only")
        assert len(description) <= 64


@given(st.lists(st.text(), min_size=1, max_size=4))
def test_a_uid_is_always_valid(parts: list[str]) -> None:
    uid = uid_from(*parts)
    assert is_valid_uid(uid)
    assert uid == uid_from(*parts)


def test_parts_of_a_uid_do_not_run_together() -> None:
    assert uid_from("ab", "c") != uid_from("a", "bc")


@pytest.mark.parametrize("uid", ["", "1", "1..2", "1.02", "1.2.", "1.2." + "3" * 64])
def test_malformed_uids_are_known(uid: str) -> None:
    assert not is_valid_uid(uid)
