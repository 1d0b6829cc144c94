"""What people marked: three tables read, and maps held against it."""

from __future__ import annotations

import json

import numpy as np
import pytest

from model.__main__ import main
from model.bundle import load
from model.data import boxes
from model.data.boxes import Marked
from model.data.files import locate, read_image
from model.data.manifest import ManifestError, read
from model.evaluate import pointing
from tests.model.data.lookalikes import dicom, table


def test_nih_boxes_whose_header_names_none_of_them(tmp_path):
    (tmp_path / "BBox_List_2017.csv").write_text(
        "Image Index,Finding Label,Bbox [x,y,w,h],,,\n"
        "00013118_008.png,Atelectasis,225.084745762712,547.019216763771,86.7,79.1,,,\n"
        "00014716_007.png,Infiltrate,686.1,131.5,185.5,313.5,,,\n",
        "utf-8",
    )
    first, second = boxes.nih(tmp_path)
    assert (first.image, first.label) == ("00013118_008", "Atelectasis")
    assert first.shares()[0] == pytest.approx(225.084745762712 / 1024)
    assert second.label == "Infiltration"
    assert (second.width, second.height) == (185.5, 313.5)


def test_rsna_boxes_are_those_of_the_positive(tmp_path):
    table(
        tmp_path / "stage_2_train_labels.csv",
        "patientId,x,y,width,height,Target",
        [
            ["a", "", "", "", "", "0"],
            ["b", "264.0", "152.0", "213.0", "379.0", "1"],
            ["b", "562.0", "152.0", "256.0", "453.0", "1"],
        ],
    )
    dicom(tmp_path / "stage_2_train_images" / "b.dcm")
    found = list(boxes.rsna(tmp_path))
    assert [(box.image, box.label, box.x) for box in found] == [
        ("b", "Lung Opacity", 264),
        ("b", "Lung Opacity", 562),
    ]
    assert (found[0].frame_width, found[0].frame_height) == (20, 24)


@pytest.mark.parametrize(
    ("name", "ids"),
    [("train.csv", True), ("annotations/annotations_train.csv", False)],
)
def test_vindr_boxes_are_corners_on_the_files_pixels(tmp_path, name, ids):
    more = ["3"] if ids else []
    columns = ["image_id", "class_name", *(["class_id"] if ids else []), "rad_id"]
    columns += ["x_min", "y_min", "x_max", "y_max"]
    nothing = ["14"] if ids else []
    table(
        tmp_path / name,
        columns,
        [
            ["one", "Pleural effusion", *more, "R1", "4", "6", "10", "18"],
            ["one", "No finding", *nothing, "R2", "", "", "", ""],
        ],
    )
    dicom(tmp_path / "train" / "one.dicom")
    [box] = boxes.vindr(tmp_path)
    assert box.label == "Pleural Effusion"
    assert box.shares() == pytest.approx((4 / 20, 6 / 24, 6 / 20, 12 / 24))


def test_tables_that_are_none(tmp_path):
    for reader in boxes.READERS.values():
        with pytest.raises(ManifestError, match="--root"):
            list(reader(tmp_path))
    columns = "patientId,x,y,width,height,Target"
    rows = [["a", "1", "2", "3", "wide", "1"]]
    table(tmp_path / "stage_2_train_labels.csv", columns, rows)
    with pytest.raises(ManifestError, match="no number"):
        list(boxes.rsna(tmp_path))
    table(tmp_path / "stage_2_train_labels.csv", columns, [["a", *"1234", "1"]])
    with pytest.raises(ManifestError, match="how large"):
        list(boxes.rsna(tmp_path))


def around(row, map_, *, hit):
    """A box a fifth as wide as the image, on the map's largest value or far from it."""
    y, x = np.unravel_index(map_.argmax(), map_.shape)
    place = (x / map_.shape[1], y / map_.shape[0])
    left, top = (p - 0.1 if hit else (p + 0.5) % 1 - 0.1 for p in place)
    name = boxes.image_name(row.path)
    # drawn on a frame four times as large as the file
    return Marked(name, "view-AP", left * 2000, top * 1000, 400, 200, 2000, 1000)


def test_the_pointing_game_counts_what_the_maps_of_service_hit(packed, trained):
    bundle = load(packed[0])
    rows = [row for row in read(trained / "manifest.csv") if row.split == "val"]
    drawn = []
    for index, row in enumerate(rows):
        [said] = bundle.predict([read_image(locate(row, (trained,)))])
        map_ = said.activation_maps["view-AP"]
        drawn.append(around(row, map_, hit=index % 3 > 0 and map_.max() > 0))
    entries = pointing.entries(bundle, rows, (trained,), drawn, draws=20)
    found = {entry.name.split(": ")[1]: entry.figure for entry in entries}
    flat = [
        bundle.predict([read_image(locate(row, (trained,)))])[0]
        .activation_maps["view-AP"]
        .max()
        == 0
        for row in rows
    ]
    hits = sum(i % 3 > 0 and not flat[i] for i in range(len(rows)))
    hit = found["the map's largest value lies in a box"]
    assert hit.value == pytest.approx(hits / len(rows))
    assert (hit.n, hit.n_patients) == (len(rows), len(rows))
    assert 0 < found["a place at random would"].value <= 0.05
    assert {entry.section for entry in entries} == {"pointing"}
    with pytest.raises(ManifestError, match="no image here has a box"):
        pointing.entries(bundle, rows, (trained,), [], draws=20)


def test_boxes_from_table_to_report(packed, trained, tmp_path, capsys):
    rows = [row for row in read(trained / "manifest.csv") if row.split == "val"]
    drawn = [
        Marked(boxes.image_name(row.path), "view-AP", 100, 100, 200, 300, 448, 512)
        for row in rows
    ]
    path = tmp_path / "boxes.csv"
    assert boxes.write(path, drawn) == len(rows)
    assert boxes.read(path) == drawn
    image = str(trained / rows[0].path)
    arguments = ["--label", "view-AP", "--method", "cam", "--out", str(tmp_path / "e")]
    arguments += ["--boxes", str(path)]
    assert main(["explain", str(packed[0]), image, *arguments]) == 0
    [fact] = json.loads((tmp_path / "e" / "explain.json").read_text("utf-8"))["maps"]
    marked = fact["share of the image that is marked"]
    assert marked == pytest.approx(200 * 300 / (448 * 512), abs=0.01)
    assert isinstance(fact["points into a box"], bool)
    other = str(trained / "manifest.csv")
    assert main(["explain", str(packed[0]), other, *arguments]) == 1
    judged = ["--manifest", other, "--data", str(trained), "--draws", "20"]
    judged += ["--boxes", str(path), "--out", str(tmp_path / "r")]
    assert main(["evaluate", str(packed[0]), *judged]) == 0
    assert "a place at random" in (tmp_path / "r" / "report.html").read_text("utf-8")
    (tmp_path / "BBox_List_2017.csv").write_text(
        "Image Index,Finding Label,Bbox [x,y,w,h],,,\na.png,Mass,1,2,3,4,,,\n", "utf-8"
    )
    written = ["--root", str(tmp_path), "--out", str(tmp_path / "nih.csv")]
    assert main(["boxes", "nih", *written]) == 0
    assert "1 boxes on 1 images" in capsys.readouterr().out
    assert [box.label for box in boxes.read(tmp_path / "nih.csv")] == ["Mass"]
