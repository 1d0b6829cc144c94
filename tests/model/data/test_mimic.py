"""MIMIC-CXR-JPG 2.0 and 2.1, and MIMIC-CXR DICOM look-alikes."""

from __future__ import annotations

import numpy as np
import pytest

from model.data.dataset import targets
from model.data.manifest import ManifestError
from model.data.policy import parse_policy
from model.data.readers.tables import CHEXPERT_14
from model.data.split import SplitRule
from model.network import Head
from tests.model.data.lookalikes import NO_SPLIT, dicom, picture, read, table

KEYS = ("dicom_id", "subject_id", "study_id")
NAMES = tuple(sorted(CHEXPERT_14))
LABELS = ("subject_id", "study_id", *NAMES)
TEST_LABELS = [
    "Airspace Opacity" if name == "Lung Opacity" else name
    for name in sorted(CHEXPERT_14)
]
TEST_TABLE = "mimic-cxr-2.1.0-test-set-labeled.csv"


def path_of(dicom_id, subject, study, suffix="jpg"):
    return f"files/p{str(subject)[:2]}/p{subject}/s{study}/{dicom_id}.{suffix}"


def label_line(study, subject=None, names=NAMES, **said):
    cells = [said.get(name.replace(" ", "_"), "") for name in names]
    return [*([subject] if subject else []), study, *cells]


def folder(root, images, labels, labeller="chexpert", suffix="jpg"):
    """images: (dicom_id, subject, study, view, part)."""
    metadata = [(*one[:3], "CHEST (PA AND LAT)", one[3], "2544") for one in images]
    columns = (*KEYS, "PerformedProcedureStepDescription", "ViewPosition", "Rows")
    table(root / "mimic-cxr-2.0.0-metadata.csv.gz", columns, metadata)
    parts = [(one[0], one[2], one[1], one[4]) for one in images]
    columns = ("dicom_id", "study_id", "subject_id", "split")
    table(root / "mimic-cxr-2.0.0-split.csv.gz", columns, parts)
    table(root / f"mimic-cxr-2.0.0-{labeller}.csv.gz", LABELS, labels)
    make = picture if suffix == "jpg" else dicom
    for dicom_id, subject, study, *_ in images:
        make(root / path_of(dicom_id, subject, study, suffix))
    return root


TRAIN = ("02aa804e-a", 10000032, 50414267, "PA", "train")
SIDE = ("174413ec-b", 10000032, 50414267, "LATERAL", "train")
VALIDATE = ("2a2277a9-c", 10000764, 57375967, "AP", "validate")
TEST = ("68b5c4b1-d", 10000935, 50578979, "AP", "test")
ALL = (TRAIN, SIDE, VALIDATE, TEST)
SAID = [
    label_line(50414267, 10000032, Edema="1.0", Pneumonia="-1.0", Fracture="0.0"),
    label_line(57375967, 10000764, No_Finding="1.0", Support_Devices="1.0"),
    label_line(50578979, 10000935, Lung_Opacity="0.0"),
]


def test_paths_patients_and_parts(tmp_path):
    rows = read("mimic-cxr-jpg", folder(tmp_path, ALL, SAID)).rows
    assert (
        [(row.path, row.split) for row in rows]
        == [
            (path_of(*TRAIN[:3]), "train"),
            (path_of(*VALIDATE[:3]), "val"),  # their word is validate
            (path_of(*TEST[:3]), "test"),
        ]
    )
    assert (rows[0].patient, rows[0].study) == ("mimic-10000032", "mimic-50414267")
    assert rows[0].labels["Edema"] == 1
    assert rows[0].uncertain == {"Pneumonia"}
    assert rows[1].labels["No Finding"] == rows[1].labels["Support Devices"] == 1


def test_a_view_that_is_missing_or_lateral_is_left_out_of_the_frontal_ones(tmp_path):
    blank = ("aa" * 5, 10000032, 50414267, "", "train")
    root = folder(tmp_path, (*ALL, blank), SAID)
    said = str(read("mimic-cxr-jpg", root))
    assert "1 images, view LATERAL" in said
    assert "1 images, view unknown" in said
    kept = read("mimic-cxr-jpg", root, views="all").rows
    unknown = next(row for row in kept if not row.view)
    head = Head("finding", ("Edema",), "sigmoid")
    assert np.isnan(targets([unknown], head)).all()
    assert "view-frontal" not in unknown.labels


@pytest.mark.parametrize("said", [[], [label_line(50414267, 10000032)]])
def test_a_study_without_any_label_is_unlabelled_and_not_negative(tmp_path, said):
    [row] = read("mimic-cxr-jpg", folder(tmp_path, [TRAIN], said), NO_SPLIT).rows
    head = Head("finding", ("Edema",), "sigmoid")
    assert np.isnan(targets([row], head, parse_policy(blank="negative"))).all()


def test_either_labeller(tmp_path):
    root = folder(tmp_path, [TRAIN], SAID)
    table(
        root / "mimic-cxr-2.0.0-negbio.csv.gz",
        LABELS,
        [label_line(50414267, 10000032, Edema="0.0")],
    )
    [row] = read("mimic-cxr-jpg", root, NO_SPLIT, labels="negbio").rows
    assert row.labels["Edema"] == 0
    with pytest.raises(ManifestError, match="use chexpert or negbio"):
        read("mimic-cxr-jpg", root, labels="radgraph")


def test_trap_release_2_1_labels_the_test_set_by_study_and_another_name(tmp_path):
    unread = ("99" * 5, 10000980, 58206436, "PA", "test")
    root = folder(tmp_path, (*ALL, unread), SAID)
    names = tuple(TEST_LABELS)
    said = [label_line(50578979, names=names, Airspace_Opacity="1.0")]
    table(root / TEST_TABLE, ("study_id", *TEST_LABELS), said)
    prepared = read("mimic-cxr-jpg", root)
    [test] = [row for row in prepared.rows if row.split == "test"]
    assert test.labels["Lung Opacity"] == 1  # the report's label was 0
    assert "Airspace Opacity" not in test.labels | dict.fromkeys(test.blank)
    assert "1 images, test study without a radiologist's label" in str(prepared)
    by_report = read("mimic-cxr-jpg", root, test_labels="report").rows
    tests = [row for row in by_report if row.split == "test"]
    assert [row.labels.get("Lung Opacity") for row in tests] == [0, None]


def test_dicom_with_the_tables_of_the_jpg_release(tmp_path):
    tables = folder(tmp_path / "jpg", ALL, SAID)
    root = tmp_path / "dicom"
    records = [(s, t, i, path_of(i, s, t, "dcm")) for i, s, t, *_ in ALL]
    columns = ("subject_id", "study_id", "dicom_id", "path")
    table(root / "cxr-record-list.csv.gz", columns, records)
    for one in ALL:
        dicom(root / path_of(*one[:3], "dcm"), ViewPosition=one[3], PatientSex="F")
    rows = read("mimic-cxr", root, tables=tables).rows
    assert [row.split for row in rows] == ["train", "val", "test"]
    assert rows[0].labels["Edema"] == 1
    assert rows[0].patient == "mimic-10000032"
    bare = read("mimic-cxr", root, SplitRule("hash"))
    assert {row.view for row in bare.rows} == {"PA", "AP"}
    assert bare.rows[0].sex == "F"
    assert "give its folder with --tables" in str(bare)
