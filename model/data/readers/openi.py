"""Indiana University's chest radiographs (OpenI; 10.1093/jamia/ocv080).

One report in XML for each examination, with the MeSH terms that indexers gave it, and
its images as DICOM or PNG. A report names its images with its own number in front
(`CXR1_1_IM-0001-3001`); DICOM files lack it (`1_IM-0001-3001.dcm`). Half of the DICOM
files are MONOCHROME1, depths are 10 to 15 bits, a third has no view: they go through
`model.pixels`, and laterals are known by many names. The other layout is the pair of
tables of the copy on Kaggle, with PNG files.

A finding that the indexers did not write is negative, an examination that they did not
index ("No Indexing") is unlabelled. The number of an examination stands for its
patient: nothing says that two are of one.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple
from xml.etree import ElementTree

from model.data.manifest import ManifestError, Row
from model.data.progress import progress
from model.data.readers.headers import header, with_facts
from model.data.readers.reading import admitted
from model.data.readers.tables import (
    NO_FINDING,
    lines,
    optional_table,
    table,
    view_of,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from model.data.readers.reading import Options, Tally

SOURCE = "openi"
# The first part of a MeSH term -> the finding
_TERMS = {
    "atelectasis": "Atelectasis",
    "pulmonary atelectasis": "Atelectasis",
    "cardiomegaly": "Cardiomegaly",
    "consolidation": "Consolidation",
    "pulmonary edema": "Edema",
    "emphysema": "Emphysema",
    "pulmonary emphysema": "Emphysema",
    "fractures, bone": "Fracture",
    "pulmonary fibrosis": "Fibrosis",
    "hernia, hiatal": "Hernia",
    "infiltrate": "Infiltration",
    "opacity": "Lung Opacity",
    "mass": "Mass",
    "nodule": "Nodule",
    "pleural effusion": "Pleural Effusion",
    "pneumonia": "Pneumonia",
    "pneumothorax": "Pneumothorax",
    "hydropneumothorax": "Pneumothorax",
}
FINDINGS = tuple(sorted(set(_TERMS.values())))
_NORMAL, _NOT_INDEXED = "normal", "no indexing"
_NUMBER = re.compile(r"^CXR\d+_")
_SUFFIXES = (".dcm", ".png", ".jpg", ".jpeg")
_TABLES = ("indiana_reports.csv", "indiana_projections.csv")


class _Exam(NamedTuple):
    """number: of the examination. images: name -> view as written, "" unknown."""

    number: str
    terms: tuple[str, ...]
    images: dict[str, str]


def read(root: Path, options: Options, tally: Tally) -> Iterator[Row]:
    """Rows of the tables where they are in root, else of all reports below it."""
    exams = _tabled(root) if optional_table(root, *_TABLES) else _reported(root)
    yield from admitted(_rows(root, exams, tally), options, tally)


def _rows(root: Path, exams: Iterable[_Exam], tally: Tally) -> Iterator[Row]:
    files = _files(root)
    for exam in progress(exams, "reading reports"):
        labels = labels_of(exam.terms)
        if not exam.images:
            tally.left_out["a report without images"] += 1
        for image, view in exam.images.items():
            path = files.get(image, f"{image}.png")
            row = Row(
                path=path,
                patient=f"openi-{exam.number}",
                study=f"openi-{exam.number}",
                view="",
                labels=labels,
                split="",
                source=SOURCE,
                sha256="",
            )
            known = with_facts(row, header(root / path))
            yield replace(known, view=view_of(view) or known.view)


def labels_of(terms: Iterable[str]) -> dict[str, float]:
    """Every finding 1 or 0; nothing for an examination without an index."""
    first = {term.split("/")[0].strip().lower() for term in terms} - {""}
    if not first or _NOT_INDEXED in first:
        return {}
    named = {_TERMS[term] for term in first if term in _TERMS}
    labels = {name: float(name in named) for name in FINDINGS}
    return {**labels, NO_FINDING: float(first == {_NORMAL})}


def _reported(root: Path) -> Iterator[_Exam]:
    reports = sorted(root.rglob("*.xml"))
    if not reports:
        raise ManifestError(
            f"{root.name or root} has neither reports (*.xml) nor {_TABLES[0]}: give"
            " the folder that holds them with --root"
        )
    for path in reports:
        tree = _parsed(path)
        found = [one.get("id", "") for one in tree.iter("parentImage")]
        images = {_NUMBER.sub("", name): "" for name in found if name}
        terms = tuple((one.text or "") for one in tree.iter("major"))
        yield _Exam(path.stem, terms, images)


def _parsed(path: Path) -> ElementTree.Element:
    """Without a document type, whose entities can blow up (OpenI's have none)."""
    text = path.read_bytes()
    if b"<!DOCTYPE" in text:
        raise ManifestError(f"{path.name} defines a document type: fetch it again")
    try:
        return ElementTree.fromstring(text)  # noqa: S314 - no entity can be defined
    except ElementTree.ParseError as error:
        raise ManifestError(
            f"{path.name} is not XML ({error}): fetch it again"
        ) from error


def _tabled(root: Path) -> Iterator[_Exam]:
    images: dict[str, dict[str, str]] = {}
    for cells in lines(table(root, _TABLES[1]), ("uid", "filename", "projection")):
        name = _NUMBER.sub("", cells["filename"].strip().rsplit(".", 2)[0])
        images.setdefault(cells["uid"], {})[name] = cells["projection"]
    for cells in lines(table(root, _TABLES[0]), ("uid", "MeSH")):
        terms = tuple(cells["MeSH"].split(";"))
        yield _Exam(cells["uid"], terms, images.get(cells["uid"], {}))


def _files(root: Path) -> dict[str, str]:
    """Name as in the report, without its number -> path below root."""
    found: dict[str, str] = {}
    for path in sorted(root.rglob("*")):
        if path.suffix.lower() in _SUFFIXES:
            name = _NUMBER.sub("", path.name[: -len(path.suffix)])
            name = name.removesuffix(".dcm")  # the copy has 1_IM-0001-4001.dcm.png
            found.setdefault(name, str(path.relative_to(root)))
    return found
