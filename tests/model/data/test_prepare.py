"""python -m model prepare: from a folder to a manifest, on the command line."""

from __future__ import annotations

import pytest

from model.__main__ import main
from model.data import manifest
from model.data.progress import progress
from model.data.readers import READERS
from tests.model.data.lookalikes import picture, table
from tests.model.data.test_chexpert import COLUMNS, FRONT, SIDE, line


def test_a_manifest_is_written_and_summed_up(tmp_path, capsys):
    root, out = tmp_path / "chexpert", tmp_path / "out" / "m.csv"
    rows = [line(FRONT, Edema="1.0", Fracture="-1.0"), line(SIDE, "Lateral", "")]
    for one in rows:
        picture(root / one[0])
    table(root / "train.csv", COLUMNS, rows)
    arguments = ["prepare", "chexpert", "--root", str(root), "--out", str(out)]
    assert main([*arguments, "--views", "all", "--val", "0", "--test", "0"]) == 0
    said = capsys.readouterr().out
    assert "2 images of 1 patients\ntrain: 2 images of 1 patients" in said
    assert "label Edema: train 1 positive" in said
    assert "label Fracture: train 1 uncertain" in said
    assert "label Pneumonia: train 1 blank" in said
    written = manifest.read(out)
    assert [row.path for row in written] == [FRONT, SIDE]
    assert said.rstrip().endswith(manifest.digest(written))


def test_the_same_folder_gives_the_same_manifest(tmp_path):
    for n in range(12):
        picture(tmp_path / "data" / "ab"[n % 2] / f"{n}.png")
    texts = []
    for name in ("one.csv", "two.csv"):
        arguments = ["--root", str(tmp_path / "data"), "--out", str(tmp_path / name)]
        assert main(["prepare", "folders", *arguments, "--no-groups"]) == 0
        texts.append((tmp_path / name).read_bytes())
    assert texts[0] == texts[1]


def test_errors_end_with_the_remedy(tmp_path, capsys):
    arguments = ["--root", str(tmp_path), "--out", str(tmp_path / "m.csv")]
    assert main(["prepare", "mimic-cxr-jpg", *arguments]) == 1
    assert capsys.readouterr().err.rstrip().endswith("with --root")
    picture(tmp_path / "a" / "1.png")
    assert main(["prepare", "folders", *arguments, "--val", "1"]) == 1
    assert "together below 1" in capsys.readouterr().err
    assert not (tmp_path / "m.csv").exists()


def test_paths_may_be_relative_to_a_folder_above(tmp_path, capsys):
    picture(tmp_path / "pets" / "cat" / "1.png")
    out = tmp_path / "m.csv"
    arguments = ["--root", str(tmp_path / "pets"), "--out", str(out), "--no-groups"]
    assert main(["prepare", "folders", *arguments, "--base", str(tmp_path)]) == 0
    assert [row.path for row in manifest.read(out)] == ["pets/cat/1.png"]
    base = ["--base", str(tmp_path / "pets" / "cat")]
    assert main(["prepare", "folders", *arguments, *base]) == 1
    assert "give a --base that holds the data set" in capsys.readouterr().err


@pytest.mark.parametrize("name", READERS)
def test_every_reader_has_help_with_its_own_options(name, capsys):
    with pytest.raises(SystemExit) as stop:
        main(["prepare", name, "--help"])
    assert stop.value.code == 0
    said = capsys.readouterr().out
    for option in READERS[name].takes:
        assert f"--{option.replace('_', '-')}" in said


@pytest.mark.parametrize("name", READERS)
def test_every_reader_names_the_remedy_in_an_empty_folder(name, tmp_path, capsys):
    arguments = ["--root", str(tmp_path), "--out", str(tmp_path / "m.csv")]
    assert main(["prepare", name, *arguments]) == 1
    assert "give" in capsys.readouterr().err


@pytest.mark.parametrize("terminal", [True, False])
def test_a_bar_is_drawn_on_a_terminal_and_items_pass_through(
    terminal, monkeypatch, capsys
):
    for name in ("FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
        monkeypatch.delenv(name, raising=False)
    if terminal:
        monkeypatch.setenv("FORCE_COLOR", "1")
    assert list(progress((n for n in range(3)), "hashing", total=3)) == [0, 1, 2]
    shown = capsys.readouterr()
    assert ("hashing" in shown.err) == terminal
    assert not shown.out
