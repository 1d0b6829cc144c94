"""The phantom studies are valid DICOM and hold the defects that they claim."""

from __future__ import annotations

import subprocess
from collections.abc import Callable

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.uid import DigitalXRayImageStorageForPresentation

from dicomnode.demo.cases import Case
from dicomnode.domain.ownership import is_own_result
from model.phantom import chest


def _datasets(cases: tuple[Case, ...]) -> list[Dataset]:
    return [dcmread(one.path) for case in cases for one in case.instances]


def test_seven_transfer_syntaxes_are_sent(cases: tuple[Case, ...]) -> None:
    used = {case.transfer_syntax_uid for case in cases}
    assert len(used) == 7
    for case in cases:
        for one in case.instances:
            meta = dcmread(one.path).file_meta
            assert meta.TransferSyntaxUID == case.transfer_syntax_uid


def test_every_syntax_keeps_every_pixel(cases: tuple[Case, ...]) -> None:
    for case in cases:
        ds = dcmread(case.instances[0].path)
        stored = ds.pixel_array.astype(np.int32)
        shown = (
            4095 - stored if ds.PhotometricInterpretation == "MONOCHROME1" else stored
        )
        assert np.array_equal(shown, case.thumbnail), case.name


def test_uids_are_unique_and_the_same_for_the_same_instant(
    cases: tuple[Case, ...],
) -> None:
    datasets = _datasets(cases)
    instances = {ds.SOPInstanceUID for ds in datasets}
    assert len(instances) == len(datasets)
    assert len({ds.StudyInstanceUID for ds in datasets}) == len(cases)
    assert all(uid.is_valid and uid.startswith("2.25.") for uid in instances)


def test_identities_say_that_they_are_synthetic(cases: tuple[Case, ...]) -> None:
    for ds in _datasets(cases):
        assert ds.PatientName.family_name == "PHANTOM"
        assert ds.PatientID.startswith("DEMO-")
        assert ds.AccessionNumber.startswith("DEMO")


def test_the_node_does_not_take_them_for_results_of_its_own(
    cases: tuple[Case, ...],
) -> None:
    for ds in _datasets(cases):
        assert not is_own_result({"Manufacturer": ds.Manufacturer})


def test_the_defects_are_in_the_pixels(case_named: dict[str, Case]) -> None:
    def film(seed: int) -> np.ndarray:
        return chest(seed, view="PA", rows=768, columns=640)

    turned = case_named["rotated-90"].thumbnail
    assert np.array_equal(turned, np.rot90(film(13), -1))
    assert np.array_equal(case_named["inverted"].thumbnail, 4095 - film(15))


def test_the_defects_are_in_the_headers(case_named: dict[str, Case]) -> None:
    def header(name: str) -> Dataset:
        return dcmread(case_named[name].instances[0].path)

    assert header("wrong-view").ViewPosition == "PA"
    assert "ViewPosition" not in header("no-view")
    assert header("monochrome1").PhotometricInterpretation == "MONOCHROME1"
    assert header("inverted").PhotometricInterpretation == "MONOCHROME2"
    assert header("hand").BodyPartExamined == "HAND"
    assert header("ct").Modality == "CT"


@pytest.mark.peer
def test_dciodvfy_finds_no_error(
    cases: tuple[Case, ...], require_command: Callable[[str], str]
) -> None:
    dciodvfy = require_command("dciodvfy")
    checked = 0
    for case in cases:
        # dciodvfy does not inflate.
        if case.transfer_syntax_uid.is_deflated:
            continue
        for one in case.instances:
            done = subprocess.run(
                [dciodvfy, str(one.path)], capture_output=True, text=True, check=False
            )
            lines = (done.stdout + done.stderr).splitlines()
            errors = [line for line in lines if "Error" in line]
            assert errors == [], case.name
            checked += one.sop_class_uid == DigitalXRayImageStorageForPresentation
    assert checked >= 7
