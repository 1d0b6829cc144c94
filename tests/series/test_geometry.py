"""Slices into a volume: order, gaps, phases, tilt, mixed orientations, selection."""

from __future__ import annotations

from dataclasses import replace
from math import cos, radians, sin

import pytest

from dicomnode.domain.series import SeriesInput, SliceHeader, Volume
from dicomnode.worker.geometry import Named, volume_of

AXIAL = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0))
CORONAL = ((1.0, 0.0, 0.0), (0.0, 0.0, -1.0))
NAMED = Named("1.2", "series 2")
ALL = SeriesInput()


def header(z: float, number: int = 1, **changes) -> SliceHeader:
    made = SliceHeader(
        position=(-180.0, -180.0, z),
        orientation=AXIAL,
        spacing=(0.7, 0.7),
        rows=512,
        columns=512,
        number=number,
    )
    return replace(made, **changes)


def axial(n: int, **changes) -> list[tuple[str, SliceHeader]]:
    return [(f"1.{i}", header(5.0 * i, n - i, **changes)) for i in range(n)]


def uids(volume: Volume | str) -> list[str]:
    assert isinstance(volume, Volume), volume
    return [one.sop_instance_uid for one in volume.slices]


def test_order_is_by_position_whatever_the_numbers_say():
    volume = volume_of(NAMED, axial(12)[::-1], ALL)
    assert uids(volume) == [f"1.{i}" for i in range(12)]
    assert [one.number for one in volume.slices] == list(range(1, 13))
    assert volume.slices[3].position_mm == pytest.approx(15)
    assert volume.remarks == ()


def test_without_positions_the_number_orders_and_the_report_says_so():
    volume = volume_of(NAMED, axial(5, position=None), ALL)
    assert uids(volume) == [f"1.{i}" for i in (4, 3, 2, 1, 0)]
    assert volume.slices[0].position_mm is None
    assert "no position" in volume.remarks[0]


def test_a_few_missing_slices_are_noted_and_many_refused():
    located = axial(30)
    volume = volume_of(NAMED, located[:10] + located[12:], ALL)
    assert "2 of 30 slices are missing (largest gap 15.0 mm" in volume.remarks[0]
    refused = volume_of(NAMED, located[:10] + located[20:], ALL)
    assert refused.startswith("10 of 30 slices are missing")


def test_a_slice_sent_twice_counts_once():
    located = [*axial(12), ("1.99", header(5.0 * 4, 99))]
    volume = volume_of(NAMED, located, ALL)
    assert len(volume.slices) == 12
    assert "1 slices at a position seen before" in volume.remarks[0]


def test_of_two_phases_one_is_analysed():
    first = axial(12, phase=("1",))
    second = [(f"2.{uid}", replace(x, phase=("2",))) for uid, x in axial(12)]
    volume = volume_of(NAMED, first + second, ALL)
    assert uids(volume) == [uid for uid, _ in first]
    assert "2 phases or echoes" in volume.remarks[0]


def test_a_scout_in_the_series_is_left_out_and_a_mixture_is_refused():
    scout = ("9.1", header(0, orientation=CORONAL))
    volume = volume_of(NAMED, [*axial(12), scout], ALL)
    assert len(volume.slices) == 12
    assert "another orientation" in volume.remarks[0]
    half = [(f"9.{i}", header(float(i), orientation=CORONAL)) for i in range(12)]
    refused = volume_of(NAMED, axial(12) + half, ALL)
    assert "differ in orientation" in refused


def test_gantry_tilt_is_handled_up_to_what_the_model_takes():
    def tilted(degrees: float) -> list[tuple[str, SliceHeader]]:
        angle = radians(degrees)
        turned = ((1.0, 0.0, 0.0), (0.0, cos(angle), -sin(angle)))
        return [(f"1.{i}", header(5.0 * i, orientation=turned)) for i in range(12)]

    volume = volume_of(NAMED, tilted(20), ALL)
    assert "tilted by 20 degrees" in volume.remarks[0]
    refused = volume_of(NAMED, tilted(20), replace(ALL, max_tilt_degrees=10))
    assert refused == (
        "the slices are tilted by 20 degrees against their stack, the model takes 10"
    )


def test_planes_and_least_slices():
    coronal = [
        (f"1.{i}", header(0, position=(0.0, 5.0 * i, 0.0), orientation=CORONAL))
        for i in range(12)
    ]
    refused = volume_of(NAMED, coronal, replace(ALL, planes=("axial",)))
    assert refused.startswith("coronal slices are not what the model was made for")
    assert volume_of(NAMED, axial(4), replace(ALL, min_slices=5)).startswith("4 slices")


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        (SeriesInput(), tuple(range(12))),
        (SeriesInput(n_slices=3), (2, 6, 10)),
        (SeriesInput(n_slices=40), tuple(range(12))),
        (SeriesInput(central_fraction=0.5), (3, 4, 5, 6, 7, 8)),
        (SeriesInput(n_slices=2, central_fraction=0.5), (4, 7)),
    ],
)
def test_which_slices_are_read(wanted, expected):
    assert volume_of(NAMED, axial(12), wanted).wanted == expected
