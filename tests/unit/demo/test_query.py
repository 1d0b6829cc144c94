"""C-FIND matching, PS3.4 C.2.2.2."""

from __future__ import annotations

import pytest
from pydicom.dataset import Dataset

from dicomnode.demo.query import answers


def _header(study: str, series: str, instance: str, modality: str) -> Dataset:
    ds = Dataset()
    ds.PatientName, ds.PatientID = "Müller^Ann", "A-1"
    ds.SpecificCharacterSet = "ISO_IR 192"
    ds.StudyDate, ds.StudyTime = "20260304", "101500"
    ds.StudyInstanceUID, ds.SeriesInstanceUID, ds.SOPInstanceUID = (
        study,
        series,
        instance,
    )
    ds.Modality = modality
    return ds


HEADERS = [
    _header("1.1", "1.1.1", "1.1.1.1", "DX"),
    _header("1.1", "1.1.2", "1.1.2.1", "SR"),
    _header("1.1", "1.1.2", "1.1.2.2", "SR"),
    _header("1.2", "1.2.1", "1.2.1.1", "CT"),
]


def _ask(level: str, **keys: object) -> list[Dataset]:
    query = Dataset()
    query.QueryRetrieveLevel = level
    for keyword, value in keys.items():
        setattr(query, keyword, value)
    return list(answers(query, HEADERS))


@pytest.mark.parametrize(
    ("keys", "n_studies"),
    [
        ({}, 2),
        ({"PatientName": ""}, 2),
        ({"PatientName": "müller*"}, 2),
        ({"PatientName": "M?ller^Ann"}, 2),
        ({"PatientName": "Mül"}, 0),
        ({"PatientID": "A-[1]"}, 0),
        ({"PatientID": "a-1"}, 0),
        ({"StudyInstanceUID": "1.2"}, 1),
        ({"StudyInstanceUID": ["1.1", "1.2", "1.3"]}, 2),
        ({"StudyInstanceUID": "1.*"}, 0),
        ({"StudyDate": "20260304"}, 2),
        ({"StudyDate": "20260301-20260304"}, 2),
        ({"StudyDate": "-20260303"}, 0),
        ({"StudyDate": "20260304-"}, 2),
        ({"ModalitiesInStudy": "SR"}, 1),
        ({"AccessionNumber": "X"}, 0),
        ({"AccessionNumber": ""}, 2),
    ],
)
def test_studies_that_match(keys: dict[str, object], n_studies: int) -> None:
    assert len(_ask("STUDY", **keys)) == n_studies


def test_an_answer_has_the_keys_that_were_asked_for_and_no_others() -> None:
    (answer,) = _ask(
        "STUDY",
        StudyInstanceUID="1.1",
        PatientName=None,
        AccessionNumber=None,
        NumberOfStudyRelatedInstances=None,
    )
    assert answer.PatientName == "Müller^Ann"
    assert not answer["AccessionNumber"].value
    assert answer.NumberOfStudyRelatedInstances == 3
    assert answer.QueryRetrieveLevel == "STUDY"
    assert "StudyDate" not in answer


def test_series_and_images_of_a_study() -> None:
    series = _ask("SERIES", StudyInstanceUID="1.1", Modality=None)
    assert sorted(one.Modality for one in series) == ["DX", "SR"]
    assert len(_ask("IMAGE", SeriesInstanceUID="1.1.2")) == 2
    assert len(_ask("PATIENT", PatientID="A-1")) == 1


def test_an_unknown_level_is_an_error() -> None:
    with pytest.raises(KeyError):
        _ask("WARD")


def test_answers_do_not_change_the_headers() -> None:
    (answer,) = _ask("STUDY", StudyInstanceUID="1.2", PatientID=None)
    answer.PatientID = "changed"
    assert HEADERS[3].PatientID == "A-1"
