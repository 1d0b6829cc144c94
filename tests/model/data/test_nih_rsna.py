"""NIH ChestX-ray14 and RSNA's selection from it: look-alikes and the real images."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest
from PIL import Image

from model.data.dataset import Images, read_image
from model.data.leaks import find_leaks
from model.data.manifest import ManifestError
from model.data.readers.nih import FINDINGS
from model.data.split import SplitRule
from tests.model.data.lookalikes import NO_SPLIT, by_path, dicom, picture, read, table

V1 = (
    "Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Gender,"
    "View Position,OriginalImage[Width,Height],OriginalImagePixelSpacing[x,y],"
)
V2020 = V1.removesuffix(",")
SIZE = ("2682", "2749", "0.143", "0.143")


def line(image, said="No Finding", patient="1", age="58", sex="M", view="PA"):
    return [image, said, "0", patient, age, sex, view, *SIZE]


def folder(root, rows, name="Data_Entry_2017.csv", header=V1, where="images"):
    more = [""] if header.endswith(",") else []
    table(root / name, header, [[*row, *more] for row in rows])
    for row in rows:
        picture(root / where / row[0])
    return root


@pytest.mark.parametrize(
    ("name", "header"),
    [("Data_Entry_2017.csv", V1), ("Data_Entry_2017_v2020.csv", V2020)],
)
def test_trap_the_header_has_commas_inside_brackets(tmp_path, name, header):
    rows = [line("00000001_000.png", "Effusion|Pleural_Thickening", view="AP")]
    [row] = read("nih", folder(tmp_path, rows, name, header), NO_SPLIT).rows
    assert (row.view, row.sex, row.age_years) == ("AP", "M", "58")
    assert row.patient == "nih-00000001"
    positive = {name for name, value in row.labels.items() if value}
    assert positive == {
        "Pleural Effusion",
        "Pleural Thickening",
        "view-AP",
        "view-frontal",
    }
    assert set(FINDINGS) < set(row.labels)  # the others were looked for: negative


@pytest.mark.parametrize(
    ("written", "read_as"),
    [("058Y", "58"), ("013M", "1.08"), ("414", ""), ("", ""), ("94", "94")],
)
def test_ages(tmp_path, written, read_as):
    root = folder(tmp_path, [line("00000001_000.png", age=written)])
    assert read("nih", root, NO_SPLIT).rows[0].age_years == read_as


def test_images_in_twelve_folders_or_as_small_copies(tmp_path):
    rows = [line("00000001_000.png"), line("00000002_000.png", patient="2")]
    folder(tmp_path, rows[:1], where="images_001/images")
    folder(tmp_path, rows, where="images_012/images")
    (tmp_path / "images_012/images/00000001_000.png").unlink()
    paths = [row.path for row in read("nih", tmp_path, NO_SPLIT).rows]
    assert paths == [
        "images_001/images/00000001_000.png",
        "images_012/images/00000002_000.png",
    ]


def test_official_lists_are_kept(tmp_path):
    rows = [line(f"{n:08d}_000.png", patient=str(n)) for n in range(40)]
    root = folder(tmp_path, rows)
    names = [row[0] for row in rows]
    (root / "train_val_list.txt").write_text("\n".join(names[:29]) + "\n", "utf-8")
    (root / "test_list.txt").write_text("\n".join(names[30:]), "utf-8")
    prepared = read("nih", root, SplitRule(val=0.3))
    tests = [row for row in prepared.rows if row.split == "test"]
    assert [row.study for row in tests] == [name[:-4] for name in names[30:]]
    assert {row.split for row in prepared.rows[:29]} == {"train", "val"}
    assert "1 images, in none of the official parts" in str(prepared)


def test_an_official_list_that_splits_a_patient_is_refused(tmp_path):
    root = folder(tmp_path, [line("00000001_000.png"), line("00000001_001.png")])
    (root / "train_val_list.txt").write_text("00000001_000.png", "utf-8")
    (root / "test_list.txt").write_text("00000001_001.png", "utf-8")
    with pytest.raises(ManifestError, match="--split hash"):
        read("nih", root)
    assert len({row.split for row in read("nih", root, SplitRule("hash")).rows}) == 1


def test_an_unknown_finding_or_patient_is_refused(tmp_path):
    with pytest.raises(ManifestError, match="none of ChestX-ray14's"):
        read("nih", folder(tmp_path, [line("00000001_000.png", "Broken Rib")]))
    with pytest.raises(ManifestError, match="not a number"):
        read("nih", folder(tmp_path, [line("00000001_000.png", patient="x")]))


def test_trap_rgba_files_give_the_pixels_of_their_grey_twins(tmp_path):
    root = folder(tmp_path, [line("00000001_000.png"), line("00000001_001.png")])
    grey = root / "images" / "00000001_000.png"
    with Image.open(grey) as image:
        image.convert("RGBA").save(root / "images" / "00000001_001.png")
    rows = read("nih", root, NO_SPLIT).rows
    assert len({row.sha256 for row in rows}) == 2
    store = Images((root,), rows, side=16, cache=tmp_path / "cache")
    assert np.array_equal(store[0], store[1])
    assert np.array_equal(
        read_image(grey), read_image(root / "images" / "00000001_001.png")
    )


def test_a_truncated_file_or_a_pointer_is_left_out(tmp_path):
    rows = [line(f"{n:08d}_000.png", patient=str(n)) for n in range(4)]
    root = folder(tmp_path, rows)
    whole = (root / "images" / rows[0][0]).read_bytes()
    (root / "images" / rows[0][0]).write_bytes(whole[:-20])
    (root / "images" / rows[1][0]).write_text("version https://git-lfs.github.com/spec")
    broken = whole[:60] + b"\0" * 40 + whole[100:]
    (root / "images" / rows[2][0]).write_bytes(broken)
    prepared = read("nih", root, NO_SPLIT)
    assert len(prepared.rows) == 2
    assert "1 images, truncated or empty" in str(prepared)
    assert "1 images, a Git LFS pointer, not the file" in str(prepared)
    decoded = read("nih", root, NO_SPLIT, decode=True)
    assert [row.study for row in decoded.rows] == ["00000003_000"]
    assert "1 images, cannot be decoded" in str(decoded)


def test_real_images_with_a_table_made_from_their_labels(tmp_path, shared_data):
    with (shared_data / "images" / "labels.csv").open(encoding="utf-8") as file:
        lines = [
            cells for cells in csv.DictReader(file) if cells["source"] == "nih_cxr14"
        ][:60]
    rows = [
        line(
            cells["file"].rsplit("/", 1)[1].replace(".jpg", ".png"),
            cells["findings"],
            cells["patient_id"].removeprefix("nih-"),
            cells["age"],
            cells["sex"],
            cells["view"],
        )
        for cells in lines
    ]
    table(tmp_path / "Data_Entry_2017.csv", V1, [[*row, ""] for row in rows])
    images = shared_data / "images" / "images" / "nih_cxr14"
    (tmp_path / "images").symlink_to(images)
    found = read("nih", tmp_path, SplitRule("hash")).rows
    assert [row.patient for row in found] == [c["patient_id"] for c in lines]
    assert [row.sha256 for row in found] == [c["sha256"] for c in lines]
    assert [row.view for row in found] == [c["view"] for c in lines]
    pneumonia = [str(int(row.labels["Pneumonia"])) for row in found]
    assert pneumonia == [c["task_pneumonia"] for c in lines]


BOXES = ("patientId", "x", "y", "width", "height", "Target")
MAPPING = "pneumonia-challenge-dataset-mappings_2018.json"
HEADS = ("Normal", "No Lung Opacity / Not Normal", "Lung Opacity")


def rsna_folder(root, originals=None):
    """Three images; the third has two boxes. originals: image -> NIH image."""
    boxes = [
        ["aaa", "", "", "", "", "0"],
        ["bbb", "", "", "", "", "0"],
        ["ccc", "1", "2", "3", "4", "1"],
        ["ccc", "5", "6", "7", "8", "1"],
    ]
    table(root / "stage_2_train_labels.csv", BOXES, boxes)
    classes = [["aaa", HEADS[0]], ["bbb", HEADS[1]], ["ccc", HEADS[2]]]
    classes.append(classes[-1])
    table(root / "stage_2_detailed_class_info.csv", ("patientId", "class"), classes)
    for image, view, age in (("aaa", "PA", "155"), ("bbb", "PA", "51")):
        header = {"ViewPosition": view, "PatientAge": age, "PatientSex": "F"}
        dicom(root / "stage_2_train_images" / f"{image}.dcm", **header)
    dicom(root / "stage_2_train_images" / "ccc.dcm", ViewPosition="AP")
    if originals:
        entries = [{"subset_img_id": k, "img_id": v} for k, v in originals.items()]
        (root / MAPPING).write_text(json.dumps(entries), "utf-8")
    return root


ORIGINALS = {
    "aaa": "00000013_003.png",
    "bbb": "00000013_005.png",
    "ccc": "00000061_012.png",
}


@pytest.mark.filterwarnings("ignore:Invalid value for VR AS")
def test_trap_rsna_patient_ids_are_image_ids(tmp_path):
    root = rsna_folder(tmp_path)
    with pytest.raises(ManifestError, match="--no-groups"):
        read("rsna", root)
    alone = read("rsna", root, SplitRule(no_groups=True))
    assert len({row.patient for row in alone.rows}) == 3
    assert "every interval is too narrow" in str(alone)
    rows = read("rsna", rsna_folder(tmp_path, ORIGINALS)).rows
    assert [row.patient for row in rows] == [
        "nih-00000013",
        "nih-00000013",
        "nih-00000061",
    ]
    assert rows[0].split == rows[1].split


@pytest.mark.filterwarnings("ignore:Invalid value for VR AS")
def test_rsna_has_one_row_an_image_and_three_classes(tmp_path):
    rows = read("rsna", rsna_folder(tmp_path, ORIGINALS), NO_SPLIT).rows
    said = [(row.labels["Lung Opacity"], row.labels["No Finding"]) for row in rows]
    assert said == [(0, 1), (0, 0), (1, 0)]
    assert [row.view for row in rows] == ["PA", "PA", "AP"]
    assert [row.age_years for row in rows] == ["", "51", ""]


@pytest.mark.filterwarnings("ignore:Invalid value for VR AS")
def test_trap_rsna_and_nih_are_found_to_share_patients(tmp_path):
    rsna = read("rsna", rsna_folder(tmp_path / "rsna", ORIGINALS), NO_SPLIT).rows
    nih = folder(tmp_path / "nih", [line("00000061_012.png", patient="61")])
    (nih / "test_list.txt").write_text("00000061_012.png", "utf-8")
    leaks = find_leaks([*rsna, *read("nih", nih).rows])
    assert list(leaks.patients) == ["nih-00000061"]
    for name in ("train_val_list.txt", "test_list.txt"):
        (tmp_path / "rsna" / name).write_text(
            "\n".join(ORIGINALS.values()) if name.startswith("test") else "", "utf-8"
        )
    same = read("rsna", tmp_path / "rsna").rows
    assert {row.split for row in same} == {"test"}


@pytest.mark.filterwarnings("ignore:Invalid value for VR AS")
def test_rsna_refuses_a_mapping_that_is_not_whole(tmp_path):
    root = rsna_folder(tmp_path, {"aaa": "00000013_003.png"})
    with pytest.raises(ManifestError, match="does not know 2 images"):
        read("rsna", root)
    (root / MAPPING).write_text("{}", "utf-8")
    (root / MAPPING).write_text('[{"img_id": "x"}]', "utf-8")
    with pytest.raises(ManifestError, match="not a list of subset_img_id"):
        read("rsna", root)


def test_paths_of_a_part_that_is_not_there_are_counted(tmp_path):
    root = folder(tmp_path, [line("00000001_000.png"), line("00000001_001.png")])
    (root / "images" / "00000001_001.png").unlink()
    prepared = read("nih", root, NO_SPLIT)
    assert list(by_path(prepared)) == ["images/00000001_000.png"]
    assert "1 images, its file is not there" in str(prepared)
    (root / "images" / "00000001_000.png").unlink()
    with pytest.raises(ManifestError, match=r"none is below.*--root"):
        read("nih", root)
