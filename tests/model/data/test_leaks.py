"""check-leak: patients, equal files and near-duplicates in more than one part."""

from __future__ import annotations

import io
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from model.__main__ import main
from model.data import manifest
from model.data.files import read_image, sha256_of
from model.data.leaks import find_leaks
from model.data.perceptual import (
    MOST_BITS,
    correlation,
    difference_hash,
    near_pairs,
    thumbnail,
)
from model.phantom import chest
from tests.model.test_data import row

SEEDS = (1, 3, 7, 8)


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """Phantoms of both views, as files."""
    folder = tmp_path_factory.mktemp("images")
    for seed in SEEDS:
        pixels = chest(seed, view="PA" if seed % 2 else "AP", rows=128, columns=112)
        grey = Image.fromarray(np.rint(pixels / 4095 * 255).astype(np.uint8))
        grey.save(folder / f"{seed}.png")
    return folder


def rows_in(folder, **splits):
    return [
        row(
            n,
            path=path.name,
            sha256=sha256_of(path),
            patient=f"p{path.stem}",
            split=splits.get(f"s{path.stem}", "train"),
        )
        for n, path in enumerate(sorted(folder.iterdir()))
    ]


def recompressed(image, quality=80, side=100):
    file = io.BytesIO()
    small = image.resize((side, side), Image.Resampling.BILINEAR)
    small.save(file, "JPEG", quality=quality)
    return file.getvalue()


def test_nothing_is_found_where_nothing_is(images):
    rows = rows_in(images, s7="val", s8="test")
    leaks = find_leaks(rows, (images,))
    assert not leaks
    assert leaks.unread == 0


def test_a_resized_and_recompressed_copy_is_a_near_duplicate(images, tmp_path):
    for path in images.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    with Image.open(images / "3.png") as image:
        (tmp_path / "copy.jpg").write_bytes(recompressed(image))
    rows = rows_in(tmp_path, scopy="test", s8="val")
    [(one, other, alike)] = find_leaks(rows, (tmp_path,)).near
    assert {one.path, other.path} == {"3.png", "copy.jpg"}
    assert alike > 0.99
    same_part = rows_in(tmp_path, s8="val")
    assert not find_leaks(same_part, (tmp_path,))
    same_patient = [replace(one, patient="p") for one in rows]
    leaks = find_leaks(same_patient, (tmp_path,))
    assert not leaks.near  # already told as a patient
    assert list(leaks.patients) == ["p"]


def test_the_search_in_bands_finds_what_comparing_all_finds():
    random = np.random.default_rng(0)
    base = random.integers(0, 2**63, (60, 4), dtype=np.uint64)
    bits = np.unpackbits(base.view(np.uint8), axis=1)
    changed = bits.copy()
    for n, one in enumerate(changed):
        flipped = random.choice(256, n % 25, replace=False)
        one[flipped] ^= 1
    other = np.packbits(changed, axis=1).view(np.uint64)
    hashes = np.concatenate([base, other, base[:1]])
    parts = ["train"] * 60 + ["val"] * 60 + ["train"]
    apart = np.bitwise_count(hashes[:, None] ^ hashes[None]).sum(2)
    wanted = {
        (i, j)
        for i in range(len(hashes))
        for j in range(i + 1, len(hashes))
        if parts[i] != parts[j] and apart[i, j] <= MOST_BITS
    }
    found = list(near_pairs(hashes, parts))
    assert len(found) == len(set(found))
    assert set(found) == wanted
    assert len(wanted) > 30


def test_flat_images_are_like_nothing():
    flat = np.full((30, 20), 0.5, np.float32)
    assert not difference_hash(flat).any()
    assert correlation(thumbnail(flat), thumbnail(flat)) == 0
    assert list(near_pairs(np.zeros((0, 4), np.uint64), [])) == []


def test_real_copies_under_other_patients_are_found(shared_data):
    """Two films of one child, filed under two numbers; and two that only look alike."""
    folder = shared_data / "images" / "images" / "kermany_paed"

    def seen(name):
        return read_image(folder / name)

    one, two = (seen(f"normal/NORMAL2-IM-009{n}-0001.jpg") for n in (5, 6))
    assert np.array_equal(difference_hash(one), difference_hash(two))
    assert correlation(thumbnail(one), thumbnail(two)) > 0.999
    one = seen("pneumonia/person1354_bacteria_3448.jpg")
    two = seen("pneumonia/person1660_bacteria_4404.jpg")
    unlike = np.bitwise_count(difference_hash(one) ^ difference_hash(two)).sum()
    assert unlike <= MOST_BITS
    assert correlation(thumbnail(one), thumbnail(two)) < 0.97


def test_the_command_says_what_it_found_and_what_to_do(images, tmp_path, capsys):
    rows = rows_in(images, s7="val", s8="test")
    manifest.write(tmp_path / "a.csv", rows)
    arguments = ["check-leak", str(tmp_path / "a.csv")]
    assert main(arguments) == 0
    assert "near-duplicates were not looked for: give --data" in capsys.readouterr().out
    assert main([*arguments, "--data", str(images)]) == 0
    assert "no near-duplicates; 0 images" in capsys.readouterr().out
    other = [replace(rows[0], path="x/0.png", split="test", source="elsewhere")]
    other.append(row(9, patient="unknown:9.png"))
    manifest.write(tmp_path / "b.csv", other)
    assert main([*arguments, str(tmp_path / "b.csv")]) == 1
    said = capsys.readouterr().err
    assert "1 patients in more than one part" in said
    assert "p1: x/0.png (elsewhere, test), 1.png (home, train)" in said
    assert "1 equal files in more than one part" in said
    assert said.rstrip().endswith("leave these images out of all parts but one")
    manifest.write(tmp_path / "c.csv", other[1:])
    assert main(["check-leak", str(tmp_path / "c.csv")]) == 0
    assert "patients of 1 images are unknown" in capsys.readouterr().out
    assert main(["check-leak", str(tmp_path / "c.csv"), "--data", str(tmp_path)]) == 1
    assert "give their folder --data" in capsys.readouterr().err


def test_long_lists_are_cut():
    rows = [row(n % 30, split="train" if n < 30 else "val") for n in range(60)]
    said = str(find_leaks(rows))
    assert "30 patients in more than one part" in said
    assert said.count("  and 20 more") == 2
