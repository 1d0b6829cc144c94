"""C-FIND over a handful of headers: matching (PS3.4 C.2.2.2) and answering."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from copy import deepcopy
from fnmatch import fnmatchcase

from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.multival import MultiValue

UNIQUE_KEYS = {
    "PATIENT": "PatientID",
    "STUDY": "StudyInstanceUID",
    "SERIES": "SeriesInstanceUID",
    "IMAGE": "SOPInstanceUID",
}
"""Query/Retrieve Level -> its unique key (PS3.4 C.6.1.1, C.6.2.1)."""

_NOT_KEYS = frozenset({"QueryRetrieveLevel", "SpecificCharacterSet"})
_RANGE_VRS = frozenset({"DA", "TM", "DT"})


def answers(query: Dataset, headers: Iterable[Dataset]) -> Iterator[Dataset]:
    """The response identifiers for ``query``, one for each matching entity.

    Raises KeyError for a Query/Retrieve Level that does not exist.
    """
    key = UNIQUE_KEYS[query.QueryRetrieveLevel]
    for group in _grouped(headers, key):
        record = _record(group)
        if all(_matches(element, record) for element in _keys(query)):
            yield _answer(query, record)


def _grouped(headers: Iterable[Dataset], key: str) -> Iterable[list[Dataset]]:
    groups: dict[str, list[Dataset]] = {}
    for header in headers:
        groups.setdefault(str(header.get(key, "")), []).append(header)
    return groups.values()


def _record(headers: Sequence[Dataset]) -> Dataset:
    """The first header, with what is counted over all of them (PS3.4 C.3.4)."""
    record = deepcopy(headers[0])
    modalities = sorted({header.Modality for header in headers if "Modality" in header})
    series = {header.SeriesInstanceUID for header in headers}
    record.ModalitiesInStudy = modalities
    record.NumberOfStudyRelatedSeries = len(series)
    record.NumberOfStudyRelatedInstances = len(headers)
    record.NumberOfSeriesRelatedInstances = len(headers)
    return record


def _keys(query: Dataset) -> Iterator[DataElement]:
    return (
        element
        for element in query
        if element.keyword not in _NOT_KEYS and element.tag.element != 0
    )


def _matches(key: DataElement, record: Dataset) -> bool:
    # Universal matching: an empty key, and here also a sequence, matches all.
    if key.is_empty or key.VR == "SQ":
        return True
    if key.tag not in record:
        return False
    return any(
        _value_matches(key.VR, wanted, found)
        for wanted in _texts(key.value)
        for found in _texts(record[key.tag].value)
    )


def _value_matches(vr: str, wanted: str, found: str) -> bool:
    if vr in _RANGE_VRS and "-" in wanted:
        first, _, last = wanted.partition("-")
        return (first or found) <= found <= (last or found)
    if vr == "UI":
        return wanted == found
    if vr == "PN":
        # PS3.4 C.2.2.2.1: names may match without regard to case.
        wanted, found = wanted.upper(), found.upper()
    return fnmatchcase(found, wanted.replace("[", "[[]"))


def _texts(value: object) -> list[str]:
    values = value if isinstance(value, MultiValue | list) else [value]
    return [str(one) for one in values]


def _answer(query: Dataset, record: Dataset) -> Dataset:
    answer = Dataset()
    for key in _keys(query):
        found = (
            record[key.tag] if key.tag in record else DataElement(key.tag, key.VR, None)
        )
        answer.add(deepcopy(found))
    answer.QueryRetrieveLevel = query.QueryRetrieveLevel
    if "SpecificCharacterSet" in record:
        answer.SpecificCharacterSet = record.SpecificCharacterSet
    return answer
