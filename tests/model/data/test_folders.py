"""Kermany, folder per class, a DICOM folder with a table, labels.csv and MedMNIST."""

from __future__ import annotations

import csv
import hashlib

import numpy as np
import pytest

from model.data.dataset import Images, targets
from model.data.files import locate, read_image, size_bytes
from model.data.manifest import ManifestError
from model.data.readers import medmnist
from model.data.split import SplitRule
from model.network import Head
from tests.model.data.lookalikes import (
    NO_SPLIT,
    by_path,
    dicom,
    noise,
    picture,
    read,
    table,
)

FILES = (
    "train/NORMAL/IM-0115-0001.jpeg",
    "train/NORMAL/NORMAL2-IM-0376-0001.jpeg",
    "train/PNEUMONIA/person123_bacteria_456.jpeg",
    "train/PNEUMONIA/person447_virus_921_1.jpeg",
    "test/PNEUMONIA/person123_virus_9.jpeg",
    "val/NORMAL/NORMAL2-IM-0376-0001-0002.jpeg",
)


def test_kermany_patients_are_in_the_file_names(tmp_path):
    for name in FILES:
        picture(tmp_path / "chest_xray" / name)
    apple = tmp_path / "__MACOSX" / "chest_xray" / "train" / "NORMAL"
    picture(apple / "._IM-0115-0001.jpeg")
    picture(tmp_path / "chest_xray/train/NORMAL/copy of a film.jpeg")
    prepared = read("kermany", tmp_path)
    rows = {row.path.removeprefix("chest_xray/"): row for row in prepared.rows}
    assert {name: rows[name].patient for name in FILES} == {
        FILES[0]: "kermany-N0115",
        FILES[1]: "kermany-N0376",
        FILES[2]: "kermany-P0123",
        FILES[3]: "kermany-P0447",
        FILES[4]: "kermany-P0123",
        FILES[5]: "kermany-N0376",
    }
    assert rows[FILES[2]].split == rows[FILES[4]].split
    kinds = ("pneumonia", "normal", "bacterial", "viral")
    assert [rows[FILES[2]].labels[kind] for kind in kinds] == [1, 0, 1, 0]
    assert [rows[FILES[1]].labels[kind] for kind in kinds] == [0, 1, 0, 0]
    assert "1 images, no patient number in the file name" in str(prepared)
    view = Head("projection", ("view-PA", "view-AP"))
    assert np.isnan(targets(prepared.rows, view)).all()  # all are AP: nothing to learn


def test_trap_the_official_parts_of_kermany_share_patients(tmp_path):
    for name in FILES:
        picture(tmp_path / name)
    with pytest.raises(ManifestError, match=r"2 patients .* use --split hash"):
        read("kermany", tmp_path, SplitRule("official"))
    with pytest.raises(ManifestError, match="no folder NORMAL or PNEUMONIA"):
        read("kermany", tmp_path / "train" / "NORMAL")


def test_real_kermany_images(tmp_path, shared_data):
    root = shared_data / "images" / "images" / "kermany_paed"
    for class_ in ("normal", "pneumonia"):
        (tmp_path / class_).mkdir()
        for path in sorted((root / class_).iterdir())[::40]:
            (tmp_path / class_ / path.name).symlink_to(path)
    with (shared_data / "images" / "labels.csv").open(encoding="utf-8") as file:
        known = {
            cells["file"].split("kermany_paed/")[1]: cells
            for cells in csv.DictReader(file)
            if cells["source"] == "kermany_paed"
        }
    rows = read("kermany", tmp_path).rows
    assert len(rows) > 100
    for row in rows:
        cells = known[row.path]
        assert row.patient == cells["patient_id"]
        assert row.sha256 == cells["sha256"]
        assert row.labels["pneumonia"] == float(cells["task_pneumonia"])
        assert row.labels["viral"] == float("Virus" in cells["findings"])


def class_folder(root, *names):
    for name in names:
        picture(root / name)
    return root


def test_folders_with_groups_are_split_by_them(tmp_path):
    names = [f"{'cat' if n % 2 else 'dog'}/{n}.png" for n in range(20)]
    root = class_folder(tmp_path / "pets", *names)
    rows = [(name, f"owner{n // 4}") for n, name in enumerate(names)]
    table(root / "groups.csv", ("file", "group"), rows)
    prepared = read("folders", root, SplitRule(val=0.3, test=0.3))
    assert {row.patient for row in prepared.rows} == {
        f"pets-owner{k}" for k in range(5)
    }
    assert by_path(prepared)["cat/1.png"].labels == {"cat": 1, "dog": 0}
    table(root / "groups.csv", ("file", "group"), rows[1:])
    with pytest.raises(ManifestError, match=r"no group for dog/0\.png: add it"):
        read("folders", root)


def test_folders_without_groups_are_not_split_unless_told(tmp_path):
    root = class_folder(tmp_path, "cat/1.png", "dog/2.png")
    with pytest.raises(ManifestError, match="--no-groups"):
        read("folders", root)
    assert len(read("folders", root, SplitRule(no_groups=True)).rows) == 2
    assert {row.split for row in read("folders", root, NO_SPLIT).rows} == {"train"}


def test_folders_that_are_split_already_are_kept_as_they_are(tmp_path):
    root = class_folder(
        tmp_path, "Training/cat/1.png", "valid/dog/2.png", "test/dog/3.png"
    )
    rows = read("folders", root, source="pets").rows
    assert [row.split for row in rows] == ["train", "test", "val"]
    assert {row.source for row in rows} == {"pets"}
    (root / "valid" / "dog" / "2.png").unlink()
    with pytest.raises(ManifestError, match="--no-groups"):  # would split training
        read("folders", root)


def test_a_copy_of_a_test_image_does_not_stay_in_training(tmp_path):
    root = class_folder(tmp_path, "train/cat/1.png", "val/cat/2.png", "test/cat/3.png")
    copy = (root / "test/cat/3.png").read_bytes()
    (root / "train/cat/4.png").write_bytes(copy)
    (root / "val/cat/5.png").write_bytes(copy)
    prepared = read("folders", root)
    paths = [row.path for row in prepared.rows]
    assert paths == ["test/cat/3.png", "train/cat/1.png", "val/cat/2.png"]
    assert "2 images, the same file is in another part" in str(prepared)


def test_folders_must_be_there(tmp_path):
    with pytest.raises(ManifestError, match="give another --root"):
        read("folders", tmp_path / "x")
    with pytest.raises(ManifestError, match="above the classes"):
        read("folders", tmp_path)


def dicom_folder(root):
    header = {"PatientID": "MRN 17", "StudyInstanceUID": "1.2.3"}
    dicom(
        root / "a",
        **header,
        ViewPosition="PA",
        PatientSex="F",
        PatientBirthDate="19800611",
        StudyDate="20260610",
        Manufacturer="ACME",
    )
    dicom(root / "b.dcm", **header, ViewPosition="LL")
    dicom(root / "c.dcm", PatientID="MRN 18", StudyInstanceUID="1.2.4")
    (root / "readme.txt").write_text("no image", "utf-8")
    return root


def test_dicom_folder_with_a_table_of_studies(tmp_path):
    root = dicom_folder(tmp_path / "files")
    labels = table(
        tmp_path / "labels.csv",
        ("StudyInstanceUID", "Edema", "Rare Thing"),
        [["1.2.3", "1", "-1"], ["1.2.9", "0", ""]],
    )
    prepared = read("dicom", root, NO_SPLIT, table=labels, views="all")
    one, side = prepared.rows
    assert (one.path, one.view, one.sex, one.age_years) == ("a", "PA", "F", "45")
    assert one.manufacturer == "ACME"
    assert one.labels["Edema"] == 1
    assert one.uncertain == {"Rare Thing"}
    assert one.patient == side.patient
    assert "17" not in one.patient.split("-")[1][:2] + one.study[:6]
    assert np.isnan(targets([side], Head("x", ("Edema",), "sigmoid"))).all()
    said = str(prepared)
    assert "1 images, not a DICOM image" in said
    assert "1 images, its StudyInstanceUID is not in the label table" in said
    assert "1 lines of the label table match no file" in said


def test_dicom_folder_with_a_table_of_images_keeps_labels_of_laterals(tmp_path):
    root = dicom_folder(tmp_path / "files")
    labels = table(tmp_path / "l.csv", ("file", "Edema"), [["b.dcm", "1"]])
    [side] = read("dicom", root, NO_SPLIT, table=labels, views="all").rows
    assert targets([side], Head("x", ("Edema",), "sigmoid")).tolist() == [[1]]


def test_dicom_folder_needs_a_table_and_patients(tmp_path):
    root = dicom_folder(tmp_path / "files")
    with pytest.raises(ManifestError, match="--table"):
        read("dicom", root)
    labels = table(tmp_path / "l.csv", ("Name", "Edema"), [["b.dcm", "1"]])
    with pytest.raises(ManifestError, match="none of the columns SOPInstanceUID"):
        read("dicom", root, table=labels)
    dicom(root / "d.dcm", ViewPosition="AP")
    labels = table(tmp_path / "l.csv", ("file", "Edema"), [["d.dcm", "1"]])
    with pytest.raises(ManifestError, match="--no-groups"):
        read("dicom", root, table=labels)


def test_labels_csv_with_all_its_tasks(tmp_path):
    picture(tmp_path / "a.png")
    columns = (
        "file,split,source,patient_id,view,task_view,task_pneumonia,sex,age,sha256"
    )
    rows = [["a.png", "val", "x", "p1", "AP", "", "1", "M", "77", "00"]]
    table(tmp_path / "labels.csv", columns, rows)
    [row] = read("labels-csv", tmp_path).rows
    assert row.labels == {"pneumonia": 1, "view-PA": 0, "view-AP": 1}
    assert (row.sex, row.age_years) == ("M", "77")
    assert "view" in row.mask
    assert row.sha256 == hashlib.sha256((tmp_path / "a.png").read_bytes()).hexdigest()


def npz(path, **members):
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(path, **members)
    return path


def mnist(path, shape=(), labels=((1,), (0,))):
    members = {}
    for part in ("train", "val", "test"):
        members[f"{part}_images"] = noise(part, (len(labels), 28, 28, *shape))
        members[f"{part}_labels"] = np.asarray(labels, np.uint8)
    return npz(path, **members), members


def allow(monkeypatch, path):
    digest = hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()
    monkeypatch.setitem(medmnist.MD5, path.name, digest)


def test_medmnist_images_have_a_path_inside_the_archive(tmp_path, monkeypatch):
    path, members = mnist(tmp_path / "pneumoniamnist.npz")
    allow(monkeypatch, path)
    prepared = read("medmnist", tmp_path)
    rows = by_path(prepared)
    row = rows["pneumoniamnist.npz#val_images/1"]
    assert (row.split, row.labels) == ("val", {"No Finding": 1, "Pneumonia": 0})
    image = members["val_images"][1]
    assert row.sha256 == hashlib.sha256(image.tobytes()).hexdigest()
    assert np.array_equal(read_image(locate(row, (tmp_path,))) * 255, image)
    assert size_bytes(tmp_path / row.path) == 28 * 28
    store = Images((tmp_path,), prepared.rows, side=28, cache=tmp_path / "cache")
    assert np.array_equal(store[prepared.rows.index(row)], image)
    assert "MD5 is the published one" in str(prepared)
    assert "patients of 6 images are unknown" in str(prepared)


def test_medmnist_chest_has_fourteen_labels_and_others_have_classes(
    tmp_path, monkeypatch
):
    many = np.eye(14, dtype=np.uint8)[:2]
    path, _ = mnist(tmp_path / "a" / "chestmnist_64.npz", labels=many)
    allow(monkeypatch, path)
    row = by_path(read("medmnist", tmp_path / "a"))["chestmnist_64.npz#test_images/1"]
    assert row.labels["Cardiomegaly"] == 1
    assert row.labels["Pleural Effusion"] == row.labels["Pleural Thickening"] == 0
    assert row.source == "medmnist_chestmnist"
    mnist(tmp_path / "b" / "bloodmnist.npz", shape=(3,), labels=((2,), (0,)))
    prepared = read("medmnist", tmp_path / "b")
    assert prepared.rows[0].labels == {
        f"bloodmnist {k}": float(k == 2) for k in range(3)
    }
    assert "so it was not checked" in str(prepared)


def test_trap_a_cut_down_medmnist_or_a_pointer_is_refused(tmp_path):
    mnist(tmp_path / "pneumoniamnist.npz")
    with pytest.raises(ManifestError, match="not the published"):
        read("medmnist", tmp_path)
    with pytest.raises(ManifestError, match="has no MedMNIST file"):
        read("medmnist", tmp_path, source="chestmnist")
    (tmp_path / "xmnist.npz").write_text("version https://git-lfs.github.com/spec/v1")
    with pytest.raises(ManifestError, match="no readable member"):
        read("medmnist", tmp_path, source="xmnist")


def test_medmnist_is_never_unpickled(tmp_path):
    objects = np.array([{"a": 1}, None], dtype=object)
    npz(tmp_path / "xmnist.npz", train_images=objects, train_labels=objects)
    with pytest.raises(ManifestError, match="allow_pickle=False"):
        read("medmnist", tmp_path)
    wrong = np.zeros((2, 28, 28), np.float32)
    npz(tmp_path / "ymnist.npz", train_images=wrong, train_labels=wrong[:, 0, :1])
    with pytest.raises(ManifestError, match="must be 8-bit"):
        read("medmnist", tmp_path, source="ymnist")
