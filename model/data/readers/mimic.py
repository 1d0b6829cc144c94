"""MIMIC-CXR-JPG 2.0 and 2.1 (arXiv 1901.07042), and the DICOM files of MIMIC-CXR.

The tables keep "2.0.0" in their names in release 2.1.0, which adds the radiologists'
labels of the test set: by study_id only, and "Airspace Opacity" for "Lung Opacity".
Eight studies are in no label table, and 2,414 rows of it are all blank: these images
are unlabelled, not negative. About 4 % of the images have no ViewPosition.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from model.data.manifest import ManifestError, Row
from model.data.readers.headers import header, with_facts
from model.data.readers.reading import admitted
from model.data.readers.tables import (
    CHEXPERT_14,
    UNLABELLED,
    Findings,
    findings,
    lines,
    optional_table,
    table,
    view_of,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from model.data.readers.reading import Options, Tally

JPG, DICOM = "mimic_cxr_jpg", "mimic_cxr"
_LABELLERS = ("chexpert", "negbio")
_OPACITY, _OPACITY_IN_TEST = "Lung Opacity", "Airspace Opacity"
_PARTS = {"train": "train", "validate": "val", "test": "test"}


class _Tables(NamedTuple):
    """labels: study_id -> findings. radiologist: the same, of the test set only."""

    parts: Mapping[str, str]
    labels: Mapping[str, Findings]
    radiologist: Mapping[str, Findings]
    views: Mapping[str, str]


class _Image(NamedTuple):
    dicom_id: str
    subject_id: str
    study_id: str
    path: str


def read_jpg(root: Path, options: Options, tally: Tally) -> Iterator[Row]:
    """Rows of MIMIC-CXR-JPG; options.labels is chexpert (default) or negbio."""
    folder = options.tables or root
    images = [
        _image(cells, _jpg_path(cells)) for cells in lines(_metadata(folder), _KEYS)
    ]
    known = _tables(folder, options)
    yield from admitted(_rows(images, known, JPG, tally), options, tally)


def read_dicom(root: Path, options: Options, tally: Tally) -> Iterator[Row]:
    """Rows of MIMIC-CXR; labels, parts and views from the tables of MIMIC-CXR-JPG.

    They are looked for in options.tables, then in root. Without the metadata table the
    view is read from each file.
    """
    folder = options.tables or root
    records = table(root, "cxr-record-list.csv")
    images = [
        _image(cells, cells["path"]) for cells in lines(records, (*_KEYS, "path"))
    ]
    known = _tables(folder, options)
    rows = _rows(images, known, DICOM, tally)
    if not known.views:
        rows = (_from_header(root, row) for row in rows)
    yield from admitted(rows, options, tally)


_KEYS = ("dicom_id", "subject_id", "study_id")


def _metadata(folder: Path) -> Path:
    return table(folder, "mimic-cxr-2.0.0-metadata.csv")


def _image(cells: Mapping[str, str], path: str) -> _Image:
    return _Image(cells["dicom_id"], cells["subject_id"], cells["study_id"], path)


def _jpg_path(cells: Mapping[str, str]) -> str:
    subject, study = cells["subject_id"], cells["study_id"]
    return f"files/p{subject[:2]}/p{subject}/s{study}/{cells['dicom_id']}.jpg"


def _tables(folder: Path, options: Options) -> _Tables:
    labeller = options.labels or _LABELLERS[0]
    if labeller not in _LABELLERS:
        raise ManifestError(
            f"--labels {labeller} is unknown: use {' or '.join(_LABELLERS)}"
        )
    test = optional_table(folder, "mimic-cxr-2.1.0-test-set-labeled.csv")
    wanted = options.test_labels == "radiologist"
    return _Tables(
        _column(folder, "split", "split"),
        _labels(optional_table(folder, f"mimic-cxr-2.0.0-{labeller}.csv")),
        _labels(test if wanted else None, _OPACITY_IN_TEST),
        _column(folder, "metadata", "ViewPosition"),
    )


def _column(folder: Path, name: str, column: str) -> dict[str, str]:
    """dicom_id -> one column; empty without the table."""
    path = optional_table(folder, f"mimic-cxr-2.0.0-{name}.csv")
    if path is None:
        return {}
    return {
        cells["dicom_id"]: cells[column] for cells in lines(path, (_KEYS[0], column))
    }


def _labels(path: Path | None, opacity: str = _OPACITY) -> dict[str, Findings]:
    if path is None:
        return {}
    columns = [opacity if name == _OPACITY else name for name in CHEXPERT_14]
    return {
        cells["study_id"]: findings(cells, [name for name in columns if name in cells])
        for cells in lines(path, ("study_id", opacity))
    }


def _rows(
    images: list[_Image], known: _Tables, source: str, tally: Tally
) -> Iterator[Row]:
    if not known.labels:
        tally.notes.append(
            "no label table was found, so only the view is labelled: give its folder"
            " with --tables"
        )
    for image in images:
        part = _PARTS.get(known.parts.get(image.dicom_id, "").strip(), "")
        labels = known.labels
        if part == "test" and known.radiologist:
            labels = known.radiologist
            if image.study_id not in labels:
                tally.left_out["test study without a radiologist's label"] += 1
                continue
        yield _row(image, labels.get(image.study_id, UNLABELLED), part, known, source)


def _row(image: _Image, said: Findings, part: str, known: _Tables, source: str) -> Row:
    return Row(
        path=image.path,
        patient=f"mimic-{image.subject_id}",
        study=f"mimic-{image.study_id}",
        view=view_of(known.views.get(image.dicom_id, "")),
        labels=said.labels,
        uncertain=said.uncertain,
        blank=said.blank,
        split=part,
        source=source,
        sha256="",
    )


def _from_header(root: Path, row: Row) -> Row:
    return with_facts(row, header(root / row.path))
