"""OpenI in both layouts, and Google's labels of NIH images, as look-alikes."""

from __future__ import annotations

import numpy as np
import pytest

from model.data.files import read_image
from model.data.manifest import ManifestError
from model.data.split import SplitRule
from tests.model.data.lookalikes import NO_SPLIT, by_path, dicom, picture, read, table

REPORT = """<?xml version="1.0" encoding="utf-8"?>
<eCitation><uId id="CXR{n}" /><MedlineCitation><Article><Abstract>
<AbstractText Label="FINDINGS">Heart &amp; lungs.</AbstractText></Abstract></Article>
</MedlineCitation>{images}<MeSH>{terms}</MeSH></eCitation>"""


def report(root, n, terms, images):
    path = root / "ecgen-radiology" / f"{n}.xml"
    path.parent.mkdir(parents=True, exist_ok=True)
    said = "".join(f"<major>{term}</major>" for term in terms)
    named = "".join(f'<parentImage id="CXR{n}_{name}" />' for name in images)
    path.write_text(REPORT.format(n=n, images=named, terms=said), "utf-8")


def openi_folder(root):
    report(root, 1, ["Cardiomegaly/mild", "Opacity/lung/base/left"], ["1_IM-1-1001"])
    report(root, 2, ["normal"], ["2_IM-2-1001", "2_IM-2-2001", "2_IM-2-3001"])
    report(root, 3, ["No Indexing"], ["3_IM-3-1001"])
    report(root, 4, ["Pulmonary Atelectasis/base"], [])
    report(root, 5, ["Hydropneumothorax/right"], ["5_IM-5-1001"])
    inside = "PhotometricInterpretation"
    dicom(root / "1" / "1_IM-1-1001.dcm", ViewPosition="PA", **{inside: "MONOCHROME1"})
    dicom(root / "2" / "2_IM-2-1001.dcm", ViewPosition="PA", PatientSex="F")
    dicom(root / "2" / "2_IM-2-2001.dcm", ViewPosition="LARGE LATERAL")
    dicom(root / "2" / "2_IM-2-3001.dcm", ViewPosition="")
    dicom(root / "3" / "3_IM-3-1001.dcm", ViewPosition="AP")
    dicom(root / "5" / "5_IM-5-1001.dcm", ViewPosition="AP")
    return root


def test_openi_reports_and_dicom(tmp_path):
    prepared = read("openi", openi_folder(tmp_path), NO_SPLIT)
    rows = by_path(prepared)
    assert sorted(rows) == [
        "1/1_IM-1-1001.dcm",
        "2/2_IM-2-1001.dcm",
        "3/3_IM-3-1001.dcm",
        "5/5_IM-5-1001.dcm",
    ]
    heart = rows["1/1_IM-1-1001.dcm"]
    positive = {name for name, value in heart.labels.items() if value}
    assert positive == {"Cardiomegaly", "Lung Opacity", "view-PA", "view-frontal"}
    assert heart.labels["Pneumothorax"] == heart.labels["No Finding"] == 0
    assert heart.patient == "openi-1"
    normal = rows["2/2_IM-2-1001.dcm"]
    assert (normal.labels["No Finding"], normal.sex) == (1, "F")
    # without an index nothing is known, which is not negative
    assert set(rows["3/3_IM-3-1001.dcm"].labels) <= {
        "view-PA",
        "view-AP",
        "view-frontal",
        "view-lateral",
    }
    assert rows["5/5_IM-5-1001.dcm"].labels["Pneumothorax"] == 1
    said = str(prepared)
    assert "view LATERAL" in said
    assert "view unknown" in said
    assert "a report without images" in said


def test_openi_labels_of_a_study_are_masked_on_its_laterals(tmp_path):
    rows = by_path(read("openi", openi_folder(tmp_path), NO_SPLIT, views="all"))
    lateral = rows["2/2_IM-2-2001.dcm"]
    assert lateral.view == "LATERAL"
    assert "No Finding" in lateral.mask
    assert not rows["2/2_IM-2-1001.dcm"].mask


def test_openi_monochrome1_is_shown_the_right_way_round(tmp_path):
    root = openi_folder(tmp_path)
    twin = dicom(root / "x" / "1_IM-1-1001.dcm")
    path = root / "1" / "1_IM-1-1001.dcm"
    first = read_image(path)
    assert first.shape == read_image(twin).shape
    import pydicom

    stored = pydicom.dcmread(path).pixel_array.astype(float)
    assert np.corrcoef(stored.ravel(), first.ravel())[0, 1] < -0.99


def test_openi_tables_of_the_png_copy(tmp_path):
    table(
        tmp_path / "indiana_reports.csv",
        ["uid", "MeSH", "Problems"],
        [["7", "Pleural Effusion/small;Nodule", "x"], ["8", "normal", "normal"]],
    )
    table(
        tmp_path / "indiana_projections.csv",
        ["uid", "filename", "projection"],
        [
            ["7", "7_IM-7-1001.dcm.png", "Frontal"],
            ["7", "7_IM-7-2001.dcm.png", "Lateral"],
            ["8", "8_IM-8-1001.dcm.png", "Frontal"],
        ],
    )
    for name in ("7_IM-7-1001", "7_IM-7-2001", "8_IM-8-1001"):
        picture(tmp_path / "images" / f"{name}.dcm.png")
    rows = by_path(read("openi", tmp_path, NO_SPLIT))
    assert sorted(rows) == [
        "images/7_IM-7-1001.dcm.png",
        "images/8_IM-8-1001.dcm.png",
    ]
    labels = rows["images/7_IM-7-1001.dcm.png"].labels
    assert (labels["Pleural Effusion"], labels["Nodule"]) == (1, 1)
    assert rows["images/7_IM-7-1001.dcm.png"].view == "FRONTAL"


@pytest.mark.parametrize(
    ("text", "hint"),
    [("<eCitation>", "not XML"), ("<!DOCTYPE a [<!ENTITY b 'c'>]><a/>", "document")],
)
def test_openi_reports_that_are_none(tmp_path, text, hint):
    (tmp_path / "1.xml").write_text(text, "utf-8")
    with pytest.raises(ManifestError, match=hint):
        read("openi", tmp_path, NO_SPLIT)
    (tmp_path / "1.xml").unlink()
    with pytest.raises(ManifestError, match="--root"):
        read("openi", tmp_path, NO_SPLIT)


GOOGLE = (
    "Image Index",
    "Fracture",
    "Pneumothorax",
    "Airspace opacity",
    "Nodule or mass",
)


def google_folder(root):
    table(
        root / "four_findings_expert_labels_validation_labels.csv",
        GOOGLE,
        [["00000013_005.png", "NO", "YES", "YES", "NO"]],
    )
    table(
        root / "four_findings_expert_labels_test_labels.csv",
        GOOGLE,
        [["00000211_010.png", "YES", "NO", "NO", "YES"]],
    )
    for name in ("00000013_005.png", "00000211_010.png"):
        picture(root / "images" / name)
    return root


def test_google_labels_of_nih_images(tmp_path):
    root = google_folder(tmp_path)
    nih = "Image Index,Finding Labels,Patient ID,Patient Age,Patient Gender,"
    table(
        root / "Data_Entry_2017.csv",
        nih + "View Position",
        [["00000013_005.png", "Mass", "13", "060Y", "F", "AP"]],
    )
    rows = by_path(read("nih-google", root))
    first, second = rows["images/00000013_005.png"], rows["images/00000211_010.png"]
    assert (first.split, second.split) == ("val", "test")
    assert first.patient == "nih-00000013"  # the same name as in NIH and RSNA
    assert first.labels["Lung Opacity"] == first.labels["Pneumothorax"] == 1
    assert first.labels["Nodule or mass"] == first.labels["Fracture"] == 0
    assert second.labels["Nodule or mass"] == second.labels["Fracture"] == 1
    assert (first.view, first.sex, first.age_years) == ("AP", "F", "60")
    assert second.view == ""


def test_google_labels_as_one_table_have_no_parts(tmp_path):
    root = google_folder(tmp_path)
    one = table(tmp_path / "all.csv.gz", GOOGLE, [["00000013_005.png", *["NO"] * 4]])
    [row] = read("nih-google", root, SplitRule(val=0, test=0), table=one).rows
    assert row.split == "train"
    bad = table(tmp_path / "bad.csv", GOOGLE, [["00000013_005.png", *["1"] * 4]])
    with pytest.raises(ManifestError, match="not YES or NO"):
        read("nih-google", root, table=bad)
    with pytest.raises(ManifestError, match="--table"):
        read("nih-google", tmp_path / "images")
