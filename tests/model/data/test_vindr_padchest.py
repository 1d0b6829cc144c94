"""VinDr-CXR in both layouts and PadChest, as look-alikes."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from model.data.files import read_image
from model.data.manifest import ManifestError
from model.data.split import SplitRule
from tests.model.data.lookalikes import (
    NO_SPLIT,
    by_path,
    dicom,
    noise,
    picture,
    read,
    table,
)

KAGGLE = "image_id,class_name,class_id,rad_id,x_min,y_min,x_max,y_max"
SINGLE = SplitRule(no_groups=True)


def kaggle_folder(root):
    """Three readers: two see a large heart, one (with two boxes) an effusion."""
    box = ("1", "2", "3", "4")
    rows = [
        ["img1", "Cardiomegaly", "3", "R1", *box],
        ["img1", "Cardiomegaly", "3", "R2", *box],
        ["img1", "Pleural effusion", "10", "R2", *box],
        ["img1", "Pleural effusion", "10", "R2", *box],
        ["img1", "No finding", "14", "R3", "", "", "", ""],
        *[["img2", "No finding", "14", f"R{n}", "", "", "", ""] for n in (4, 5, 6)],
    ]
    table(root / "train.csv", KAGGLE, rows)
    dicom(root / "train" / "img1.dicom", PhotometricInterpretation="MONOCHROME1")
    dicom(root / "train" / "img2.dicom", PatientSex="M", PatientAge="044Y")
    return root


@pytest.mark.parametrize(
    ("how", "heart", "effusion", "nothing"),
    [("majority", 1, 0, 0), ("any", 1, 1, 1), ("mean", 2 / 3, 1 / 3, 1 / 3)],
)
def test_vindr_boxes_of_three_readers(tmp_path, how, heart, effusion, nothing):
    rows = read("vindr", kaggle_folder(tmp_path), NO_SPLIT, readers=how).rows
    labels = rows[0].labels
    assert labels["Cardiomegaly"] == pytest.approx(heart)
    assert labels["Pleural Effusion"] == pytest.approx(effusion)
    assert labels["No Finding"] == pytest.approx(nothing)
    assert labels["Pneumothorax"] == 0
    assert rows[1].labels["No Finding"] == 1
    assert (rows[1].sex, rows[1].age_years) == ("M", "44")


def test_vindr_patients_are_unknown(tmp_path):
    root = kaggle_folder(tmp_path)
    with pytest.raises(ManifestError, match=r"patient of train/img1\.dicom is unknown"):
        read("vindr", root)
    rows = read("vindr", root, SINGLE).rows
    assert rows[0].patient == "unknown:train/img1.dicom"


def test_vindr_as_on_physionet(tmp_path):
    names = ("Cardiomegaly", "Pleural effusion", "Pneumonia", "No finding")
    train = [["img1", f"R{n}", *cells] for n, cells in enumerate(("1001", "1000"))]
    annotations = tmp_path / "annotations"
    columns = ("image_id", "rad_id", *names)
    table(annotations / "image_labels_train.csv", columns, train)
    columns = ("image_id", *names)
    test = [["img9", "0", "1", "1", "0"]]
    table(annotations / "image_labels_test.csv", columns, test)
    dicom(tmp_path / "train" / "img1.dicom")
    dicom(tmp_path / "test" / "img9.dicom", ViewPosition="PA")
    rows = by_path(read("vindr", tmp_path, SplitRule(val=0)))
    one, nine = rows["train/img1.dicom"], rows["test/img9.dicom"]
    assert (one.split, nine.split) == ("train", "test")
    assert one.labels["Cardiomegaly"] == 1
    assert one.uncertain == {"No Finding"}  # one reader of two
    assert nine.labels["Pneumonia"] == nine.labels["view-PA"] == 1
    with pytest.raises(ManifestError, match="neither"):
        read("vindr", tmp_path / "train")


def test_vindr_refuses_a_class_it_does_not_know(tmp_path):
    root = kaggle_folder(tmp_path)
    row = ["img1", "Scoliosis", "15", "R1", "1", "2", "3", "4"]
    table(root / "train.csv", KAGGLE, [row])
    with pytest.raises(ManifestError, match="'Scoliosis'"):
        read("vindr", root)


PADCHEST = (
    "ImageID",
    "ImageDir",
    "StudyDate_DICOM",
    "StudyID",
    "PatientID",
    "PatientBirth",
    "PatientSex_DICOM",
    "ViewPosition_DICOM",
    "Projection",
    "MethodProjection",
    "Manufacturer_DICOM",
    "PhotometricInterpretation_DICOM",
    "MethodLabel",
    "Labels",
)
NAME = "PADCHEST_chest_x_ray_images_labels_160K_01.02.19.csv"


def pad_line(image, said, projection="PA", method="Physician", patient="p1"):
    return [
        *(image, "0", "20140915", f"s{image}", patient, "1938.0", "F"),
        *("POSTEROANTERIOR", projection, "Manual review", "ImagingDynamics"),
        *("MONOCHROME2", method, said),
    ]


def pad_folder(root, rows):
    table(root / NAME, PADCHEST, rows)
    for row in rows:
        path = root / row[1] / row[0]
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(noise(row[0], bits=16)).save(path)
    return root


def test_padchest_labels_are_a_list_written_as_text(tmp_path):
    rows = [
        pad_line("a.png", "['pleural effusion', ' cardiomegaly', '']"),
        pad_line("b.png", "['normal']", "AP_horizontal", patient="p2"),
        pad_line("c.png", "['unchanged', 'suboptimal study']", "AP", patient="p3"),
    ]
    one, two, three = read("padchest", pad_folder(tmp_path, rows), NO_SPLIT).rows
    assert (one.path, one.patient, one.study) == (
        "0/a.png",
        "padchest-p1",
        "padchest-sa.png",
    )
    assert one.labels["Pleural Effusion"] == one.labels["Cardiomegaly"] == 1
    assert one.labels["No Finding"] == 0
    assert two.labels["No Finding"] == two.labels["view-AP"] == 1
    assert not set(three.labels) & {"unchanged", "suboptimal study", ""}
    assert (one.sex, one.age_years, one.manufacturer) == ("F", "76", "ImagingDynamics")


def test_padchest_leaves_out_what_it_says_it_does(tmp_path):
    rows = [
        pad_line("a.png", "['normal']"),
        pad_line("b.png", "['normal']", "EXCLUDE"),
        pad_line("c.png", "", patient="p3"),
        pad_line("d.png", "['normal']", "L"),
        pad_line("e.png", "['normal']", "COSTAL"),
        pad_line("f.png", "['normal']", method="RNN_model"),
    ]
    root = pad_folder(tmp_path, rows)
    said = str(read("padchest", root, NO_SPLIT, labels="physician"))
    for reason in (
        "marked EXCLUDE",
        "not labelled",
        "not labelled by a physician",
        "view LATERAL (--views all keeps it)",
        "view COSTAL (--views all keeps it)",
    ):
        assert f"1 images, {reason}\n" in f"{said}\n"
    assert len(read("padchest", root, NO_SPLIT).rows) == 2
    table(root / NAME, PADCHEST, [pad_line("a.png", "['normal'")])
    with pytest.raises(ManifestError, match="is not a list"):
        read("padchest", root)
    with pytest.raises(ManifestError, match="has no PADCHEST"):
        read("padchest", root / "0")


def test_padchest_files_may_lie_in_one_folder_and_may_be_truncated(tmp_path):
    table(tmp_path / NAME, PADCHEST, [pad_line("a.png", "['normal']")])
    path = picture(tmp_path / "images-224" / "a.png")
    assert read("padchest", tmp_path, NO_SPLIT).rows[0].path == "images-224/a.png"
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(ManifestError, match="fetch the data again"):
        read("padchest", tmp_path, NO_SPLIT)


@pytest.mark.parametrize("highest", [255, 4095, 65535])
def test_trap_sixteen_bit_png_files_are_shown_in_their_own_range(tmp_path, highest):
    """Scaled by the container, a 12-bit film would be nearly black; clipped, white."""
    ramp = np.linspace(0, highest, 256).astype(np.uint16).reshape(16, 16)
    Image.fromarray(ramp).save(tmp_path / "a.png")
    shown = read_image(tmp_path / "a.png")
    assert shown.min() == 0
    assert shown.max() == 1
    assert np.abs(shown.ravel() - np.linspace(0, 1, 256)).max() < 0.005
    Image.fromarray(np.full((4, 4), 700, np.uint16)).save(tmp_path / "b.png")
    assert not read_image(tmp_path / "b.png").any()


def test_padchest_findings_that_are_rare_and_nobody_elses_are_no_labels(tmp_path):
    rare = pad_line("000.png", "['azygos lobe', 'pneumothorax']")
    common = [
        pad_line(f"{n:03d}.png", "['scoliosis']" if n % 2 else "['normal']")
        for n in range(1, 120)
    ]
    table(tmp_path / NAME, PADCHEST, [rare, *common])
    picture(tmp_path / "000.png")
    prepared = read("padchest", tmp_path, NO_SPLIT)
    found = {name for name in prepared.rows[0].labels if not name.startswith("view")}
    assert found == {"Pneumothorax", "No Finding", "scoliosis"}
    assert "3 of 4 findings are labels" in str(prepared)
