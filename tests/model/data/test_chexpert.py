"""CheXpert and CheXpert Plus look-alikes, with every oddity of the real tables."""

from __future__ import annotations

import json

import numpy as np
import pytest

from model.data.dataset import targets
from model.data.manifest import ManifestError
from model.data.policy import parse_policy
from model.data.readers.tables import CHEXPERT_14
from model.data.split import SplitRule
from model.network import Head
from tests.model.data.lookalikes import NO_SPLIT, by_path, dicom, picture, read, table

COLUMNS = ("Path", "Sex", "Age", "Frontal/Lateral", "AP/PA", *CHEXPERT_14)
FRONT = "train/patient00001/study1/view1_frontal.jpg"
SIDE = "train/patient00001/study1/view2_lateral.jpg"


def labels(**said):
    """Fourteen cells, blank but for those given by name with _ for a blank."""
    return [said.get(name.replace(" ", "_"), "") for name in CHEXPERT_14]


def line(path, view="Frontal", projection="AP", sex="Male", age="60", **said):
    return [path, sex, age, view, projection, *labels(**said)]


def folder(root, train, valid=(), prefix="CheXpert-v1.0-small/"):
    for name, rows in (("train", train), ("valid", valid)):
        for row in rows:
            picture(root / row[0])
        table(root / f"{name}.csv", COLUMNS, [[prefix + r[0], *r[1:]] for r in rows])
    return root


def first_study(**said):
    return [line(FRONT, **said), line(SIDE, "Lateral", "", **said)]


@pytest.mark.parametrize(
    "prefix", ["CheXpert-v1.0-small/", "CheXpert-v1.0/", "mirror/test/data/", ""]
)
def test_the_leading_folder_of_the_paths_does_not_matter(tmp_path, prefix):
    root = folder(tmp_path, first_study(Edema="1.0"), prefix=prefix)
    [row] = read("chexpert", root, NO_SPLIT).rows
    assert (row.path, row.patient, row.study) == (
        FRONT,
        "chexpert-patient00001",
        "chexpert-patient00001-study1",
    )
    assert (row.view, row.sex, row.age_years, row.split) == ("AP", "M", "60", "train")


def test_one_zero_uncertain_and_blank_stay_apart(tmp_path):
    said = {"Edema": "1.0", "Pneumonia": "0.0", "Atelectasis": "-1.0"}
    [row] = read("chexpert", folder(tmp_path, first_study(**said)), NO_SPLIT).rows
    assert (row.labels["Edema"], row.labels["Pneumonia"]) == (1, 0)
    assert row.uncertain == {"Atelectasis"}
    assert "Fracture" in row.blank
    assert not {"Atelectasis", "Fracture"} & set(row.labels)


def test_trap_blank_is_not_negative_unless_asked(tmp_path):
    [row] = read("chexpert", folder(tmp_path, first_study(Edema="1.0")), NO_SPLIT).rows
    head = Head("finding", ("Edema", "Fracture", "Hernia"), "sigmoid")
    [plain] = targets([row], head)
    assert plain[0] == 1
    assert np.isnan(plain[1:]).all()
    [negative] = targets([row], head, parse_policy(blank="negative"))
    assert negative[:2].tolist() == [1, 0]
    assert np.isnan(negative[2])  # CheXpert never asks about hernias


def test_trap_no_label_is_borrowed_from_another_image_of_the_patient(tmp_path):
    """The first non-null value per column would give study 2 the edema of study 1."""
    later = "train/patient00001/study2/view1_frontal.jpg"
    train = [
        line(FRONT, Edema="1.0"),
        line(later, Fracture="0.0"),
        line(later.replace("view1", "view2"), projection="PA", Fracture="0.0"),
    ]
    rows = by_path(read("chexpert", folder(tmp_path, train), NO_SPLIT))
    assert len(rows) == 3
    assert "Edema" not in rows[later].labels
    assert "Edema" in rows[later].blank
    assert "Fracture" not in rows[FRONT].labels


def test_trap_no_finding_with_support_devices_is_kept(tmp_path):
    said = {"No_Finding": "1.0", "Support_Devices": "1.0"}
    [row] = read("chexpert", folder(tmp_path, first_study(**said)), NO_SPLIT).rows
    assert row.labels["No Finding"] == row.labels["Support Devices"] == 1


def test_trap_lateral_images_are_left_out_or_carry_masked_labels(tmp_path):
    root = folder(tmp_path, first_study(Edema="1.0", Pneumonia="-1.0"))
    prepared = read("chexpert", root, NO_SPLIT)
    assert list(by_path(prepared)) == [FRONT]
    assert "left out: 1 images, view LATERAL (--views all keeps it)" in str(prepared)
    side = by_path(read("chexpert", root, NO_SPLIT, views="all"))[SIDE]
    head = Head("finding", ("Edema", "Pneumonia", "Fracture"), "sigmoid")
    policy = parse_policy("ones", "negative")
    assert np.isnan(targets([side], head, policy)).all()
    view = Head("side", ("view-frontal", "view-lateral"))
    assert targets([side], view).tolist() == [[0, 1]]
    counted = read("chexpert", root, NO_SPLIT, views="all", lateral_labels=True)
    assert targets([by_path(counted)[SIDE]], head, policy).tolist() == [[1, 1, 0]]


def test_a_projection_that_contradicts_the_frontal_flag_is_not_trusted(tmp_path):
    train = [line(FRONT, projection="LL"), line(SIDE, projection="RL")]
    train.append(line("train/patient00002/study1/view1_frontal.jpg", projection="PA"))
    prepared = read("chexpert", folder(tmp_path, train), NO_SPLIT)
    assert [row.view for row in prepared.rows] == ["PA"]
    odd = read("chexpert", tmp_path, NO_SPLIT, views="all").rows[0]
    assert odd.view == "LATERAL?"
    assert "view-lateral" not in odd.labels


def test_unknown_sex_and_age_zero_are_unknown(tmp_path):
    [row] = read(
        "chexpert",
        folder(tmp_path, [line(FRONT, sex="Unknown", age="0", Edema="1.0")]),
        NO_SPLIT,
    ).rows
    assert (row.sex, row.age_years) == ("", "")


def test_valid_and_the_test_set_by_study_or_by_path(tmp_path):
    valid = [line("valid/patient64541/study1/view1_frontal.jpg", Edema="0.0")]
    root = folder(tmp_path, first_study(Edema="1.0"), valid)
    test = "test/patient64741/study1"
    picture(root / test / "view1_frontal.jpg")
    picture(root / test / "view2_lateral.jpg")
    by_study = [[f"CheXpert-v1.0/{test}", "0.0", "1.0"]]
    table(root / "groundtruth.csv", ("Study", "Edema", "Lung Opacity"), by_study)
    rows = by_path(read("chexpert", root))
    assert {row.split for row in rows.values()} == {"train", "val", "test"}
    row = rows[f"{test}/view1_frontal.jpg"]
    assert (row.view, row.labels["Edema"], row.blank) == ("FRONTAL", 0, frozenset())
    assert f"{test}/view2_lateral.jpg" not in rows
    table(
        root / "test_labels.csv", ("Path", "Edema"), [[f"{test}/view1_frontal.jpg", 1]]
    )
    row = by_path(read("chexpert", root))[f"{test}/view1_frontal.jpg"]
    assert row.labels["Edema"] == 1


def test_the_official_parts_are_kept_and_training_gives_a_validation_part(tmp_path):
    train = [
        line(f"train/patient{n:05d}/study1/view1_frontal.jpg", Edema="1.0")
        for n in range(60)
    ]
    rows = read("chexpert", folder(tmp_path, train), SplitRule(val=0.3)).rows
    assert {row.split for row in rows} == {"train", "val"}
    (tmp_path / "valid.csv").unlink()
    again = read("chexpert", tmp_path, SplitRule(val=0.3)).rows
    assert again == rows


def test_wrong_tables_are_refused_with_the_remedy(tmp_path):
    with pytest.raises(ManifestError, match=r"has no train\.csv.*--root"):
        read("chexpert", tmp_path)
    folder(tmp_path, [line(FRONT, Edema="2")])
    with pytest.raises(ManifestError, match="must be 1, 0, -1 or blank"):
        read("chexpert", tmp_path)
    table(tmp_path / "train.csv", COLUMNS, [line("x/view1_frontal.jpg")])
    with pytest.raises(ManifestError, match="as it was published"):
        read("chexpert", tmp_path)
    table(tmp_path / "train.csv", ("Image", *CHEXPERT_14), [["x", *labels()]])
    with pytest.raises(ManifestError, match="lacks the column Path"):
        read("chexpert", tmp_path)


PLUS = (
    "path_to_image",
    "path_to_dcm",
    "frontal_lateral",
    "ap_pa",
    "deid_patient_id",
    "patient_report_date_order",
    "report",
    "section_findings",
    "section_impression",
    "age",
    "sex",
    "split",
)


def plus_line(image, impression="Edema.", part="train", view="Frontal", ap_pa="AP"):
    dcm = image.replace(".jpg", ".dcm")
    text = f"IMPRESSION:\n{impression}"
    return [
        *(image, dcm, view, ap_pa, "patient00001", "1"),
        *(text, "", impression, "61", "Female", part),
    ]


def plus_folder(root, rows, said):
    table(root / "df_chexpert_plus_240401.csv", PLUS, rows)
    path = root / "chexbert_labels" / "impression_fixed.json"
    path.parent.mkdir(exist_ok=True)
    everything = [
        {"path_to_image": image, **dict.fromkeys(CHEXPERT_14), **values}
        for image, values in said
    ]
    lines = [json.dumps(one) for one in everything]
    path.write_text("\n".join(lines).replace("null", "NaN", 1), "utf-8")
    return root


def test_plus_copies_of_one_report_give_one_set_of_labels(tmp_path):
    second = FRONT.replace("view1", "view3")
    picture(tmp_path / "PNG" / FRONT.replace(".jpg", ".png"))
    dicom(tmp_path / "DICOM" / second.replace(".jpg", ".dcm"))
    root = plus_folder(
        tmp_path,
        [plus_line(second, ap_pa="PA"), plus_line(FRONT)],
        [(second, {"Fracture": 1.0}), (FRONT, {"Edema": 1.0, "Pneumonia": -1.0})],
    )
    prepared = read("chexpert-plus", root, NO_SPLIT)
    one, two = sorted(prepared.rows, key=lambda row: row.study + row.view)
    assert one.labels["Edema"] == two.labels["Edema"] == 1
    assert "Fracture" not in one.labels | two.labels
    assert one.uncertain == two.uncertain == {"Pneumonia"}
    assert (one.path, two.path) == (
        "PNG/train/patient00001/study1/view1_frontal.png",
        "DICOM/train/patient00001/study1/view3_frontal.dcm",
    )
    assert (one.sex, one.age_years) == ("F", "61")
    assert one.patient == "chexpert-patient00001"  # as in CheXpert itself
    assert "1 studies have different labels" in str(prepared)


def test_plus_labels_of_an_empty_section_are_dropped(tmp_path):
    picture(tmp_path / FRONT)
    root = plus_folder(
        tmp_path, [plus_line(FRONT, impression="")], [(FRONT, {"No Finding": 1.0})]
    )
    prepared = read("chexpert-plus", root, NO_SPLIT)
    [row] = prepared.rows
    assert set(row.labels) == {"view-PA", "view-AP", "view-frontal", "view-lateral"}
    assert not row.blank
    assert "1 studies have no impression" in str(prepared)


def test_plus_refuses_what_is_not_json_lines(tmp_path):
    picture(tmp_path / FRONT)
    root = plus_folder(tmp_path, [plus_line(FRONT)], [(FRONT, {})])
    with pytest.raises(ManifestError, match="--labels radgraph is unknown"):
        read("chexpert-plus", root, labels="radgraph")
    labelled = root / "chexbert_labels" / "impression_fixed.json"
    labelled.write_text("[\n", "utf-8")
    with pytest.raises(ManifestError, match="JSON object"):
        read("chexpert-plus", root)
    with pytest.raises(ManifestError, match=r"report_fixed\.json is not in"):
        read("chexpert-plus", root, labels="report")
