"""Bundles: what was packed is what runs, and nothing else gets in."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from pydicom.uid import UID

from model import bundle
from model.bundle import BundleError, integrity
from model.bundle.domain import Domain, fit
from model.bundle.errors import NonFinite
from model.bundle.weights import read_tensors, write_tensors
from model.phantom import chest
from model.preparation import statistics

SHIPPED = Path(bundle.__file__).parents[1] / "bundles"
ROTATED = ["rotated-90", "rotated-180", "rotated-270"]
NAMES = [*ROTATED, "inverted", "mirrored", "view-PA", "view-AP"]


def phantom(seed=1, view="PA", rows=96, columns=84):
    pixels = chest(seed, view=view, rows=rows, columns=columns)
    return (pixels / 4095).astype(np.float32)


@pytest.fixture
def copy(packed, tmp_path):
    """A bundle to be tampered with."""
    return Path(shutil.copytree(packed[0], tmp_path / "copy"))


def reseal(folder):
    """What someone who can write the manifest too would do."""
    (folder / integrity.MANIFEST).write_bytes(integrity.build(folder))


def edit(folder, change):
    path = folder / "bundle.json"
    table = json.loads(path.read_text("utf-8"))
    change(table)
    path.write_text(json.dumps(table), "utf-8")
    reseal(folder)


def test_description_says_what_was_packed(packed):
    said = bundle.describe(packed[0])
    assert (said.name, [label.name for label in said.labels]) == ("cxr-qc", NAMES)
    assert UID(said.device_uid).is_valid
    assert said.device_uid.startswith("2.25.")
    assert said.input.accepts_absent_body_part
    assert said.header_checks[0].values == {"PA": "view-PA", "AP": "view-AP"}
    assert said.labels[5].value_code.value == "272479007"
    assert not said.calibrated  # six phantoms do not make a calibration
    assert "home" in said.parameters["operating points"]
    assert bundle.verify(packed[0]) == said


def test_describing_does_not_import_torch(packed):
    code = (
        "import sys; from pathlib import Path; from model import bundle, pixels;"
        f"bundle.verify(Path({str(packed[0])!r})); assert 'torch' not in sys.modules"
    )
    root = Path(bundle.__file__).parents[2]
    subprocess.run([sys.executable, "-W", "ignore", "-c", code], check=True, cwd=root)


def test_predictions_are_complete_and_of_any_size(packed):
    loaded = bundle.load(packed[0])
    sizes = [(96, 84), (64, 200), (300, 64)]
    found = loaded.predict([phantom(1, "PA", *size) for size in sizes])
    for prediction, (rows, columns) in zip(found, sizes, strict=True):
        assert list(prediction.probabilities) == NAMES
        views = (
            prediction.probabilities["view-PA"] + prediction.probabilities["view-AP"]
        )
        assert views == pytest.approx(1)
        plane = prediction.activation_maps["inverted"]
        assert plane.dtype == np.float32
        assert 0 <= plane.min() <= plane.max() <= 1
        assert plane.shape[0] / plane.shape[1] == pytest.approx(rows / columns, rel=0.1)
        assert prediction.in_domain == (
            prediction.domain_distance <= prediction.domain_limit
        )
    assert loaded.predict([]) == []


def test_an_image_gets_the_same_answer_alone_and_in_a_batch(packed):
    loaded = bundle.load(packed[0])
    images = [phantom(seed) for seed in range(4)]
    together = loaded.predict(images)
    for image, one in zip(images, together, strict=True):
        alone = loaded.predict([image])[0]
        for name, value in one.logits.items():
            assert alone.logits[name] == pytest.approx(value, abs=1e-5)


def test_service_and_training_preprocess_bit_equally(packed):
    loaded = bundle.load(packed[0])
    image = phantom(9)
    stored = json.loads((packed[0] / "bundle.json").read_text("utf-8"))["preset"]
    again = bundle_preset(stored)
    assert torch.equal(loaded.parts.engine.preset(image), again(image))


def bundle_preset(stored):
    from model.transforms import EvalPreset

    return EvalPreset.from_dict(stored)


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((4, 4), np.float64),
        np.zeros((4, 4, 3), np.float32),
        np.full((4, 4), 255, np.float32),
        np.full((4, 4), np.nan, np.float32),
    ],
    ids=["float64", "colour", "not scaled", "nan"],
)
def test_other_input_is_refused(packed, image):
    with pytest.raises(BundleError, match="display_pixels"):
        bundle.load(packed[0]).predict([image])


def test_a_network_that_gives_no_number_is_noticed(packed):
    loaded = bundle.load(packed[0])
    with torch.no_grad():
        loaded.parts.engine.network.heads["view"].bias[0] = float("nan")
    with pytest.raises(NonFinite, match="not a number"):
        loaded.predict([phantom()])


def test_every_flipped_byte_is_noticed(copy):
    names = [name for name in integrity.files(copy) if name != integrity.MANIFEST]
    assert len(names) == 5
    for name in names:
        path = copy / name
        raw = path.read_bytes()
        middle = len(raw) // 2
        path.write_bytes(raw[:middle] + bytes([raw[middle] ^ 1]) + raw[middle + 1 :])
        with pytest.raises(BundleError, match="sha256 differs"):
            bundle.describe(copy)
        path.write_bytes(raw)
    bundle.describe(copy)


def test_missing_longer_and_unlisted_files_are_noticed(copy):
    (copy / "report" / "more.html").write_text("x", "utf-8")
    with pytest.raises(BundleError, match="not listed"):
        bundle.describe(copy)
    (copy / "report" / "more.html").unlink()
    with (copy / "model_card.md").open("a", encoding="utf-8") as file:
        file.write("!")
    with pytest.raises(BundleError, match="another size"):
        bundle.describe(copy)
    (copy / "model_card.md").unlink()
    with pytest.raises(BundleError, match="listed but missing"):
        bundle.describe(copy)


@pytest.mark.parametrize("name", ["w.pt", "w.pth", "w.pkl", "w.bin", "w.py", "w"])
def test_pickles_and_programs_are_refused_even_when_listed(copy, name):
    (copy / name).write_bytes(b"x")
    with pytest.raises(BundleError, match="never pickles"):
        bundle.describe(copy)


def test_links_are_refused(copy, tmp_path):
    (tmp_path / "elsewhere.md").write_text("x", "utf-8")
    (copy / "link.md").symlink_to(tmp_path / "elsewhere.md")
    with pytest.raises(BundleError, match="a link"):
        bundle.describe(copy)


def test_a_linked_folder_is_refused(copy, tmp_path):
    (copy / "more").symlink_to(tmp_path)
    with pytest.raises(BundleError, match="a link"):
        bundle.describe(copy)


@pytest.mark.parametrize(
    "name",
    ["../evil.json", "/etc/evil.json", "a/../../evil.json", "a\\evil.json", "./a.md"],
)
def test_paths_that_leave_the_folder_are_refused(copy, name):
    path = copy / integrity.MANIFEST
    table = json.loads(path.read_text("utf-8"))
    table["files"][name] = {"sha256": "0" * 64, "size": 1}
    path.write_text(json.dumps(table), "utf-8")
    with pytest.raises(BundleError, match="leaves the folder"):
        bundle.describe(copy)


@pytest.mark.parametrize(
    ("text", "hint"),
    [("{", "cannot be read"), ('{"schema_version": 9, "files": {}}', "of version 9")],
)
def test_a_manifest_that_is_none(copy, text, hint):
    (copy / integrity.MANIFEST).write_text(text, "utf-8")
    with pytest.raises(BundleError, match=hint):
        bundle.describe(copy)


def test_no_bundle_at_all(tmp_path):
    with pytest.raises(BundleError, match="give the bundle's folder"):
        bundle.describe(tmp_path)


@pytest.mark.parametrize(
    ("change", "hint"),
    [
        (lambda t: t.update(schema_version=9), "schema version 1"),
        (lambda t: t["labels"][0].update(grey_low=0.9), "outside its grey zone"),
        (lambda t: t["labels"][0].update(kind="score"), "kind 'score'"),
        (lambda t: t["labels"][0].update(name="inverted"), "occurs twice"),
        (lambda t: t["header_checks"][0].update(values={"PA": "x"}), "unknown label"),
        (lambda t: t.pop("input"), "input"),
    ],
)
def test_a_description_that_contradicts_itself(copy, change, hint):
    edit(copy, change)
    with pytest.raises(BundleError, match=hint):
        bundle.describe(copy)


@pytest.mark.parametrize(
    ("change", "hint"),
    [
        (lambda t: t["network"].update(architecture="resnet18"), "tensors differ"),
        (lambda t: t["network"].update(architecture="os.system"), "is unknown"),
        (lambda t: t["preset"].update(version=2), "newer program"),
        (lambda t: t["heads"][0].update(temperature=0), "not positive"),
        (lambda t: t["labels"][0].update(index=0), "not class 0"),
    ],
)
def test_what_does_not_fit_the_weights_is_not_loaded(copy, change, hint):
    edit(copy, change)
    with pytest.raises(BundleError, match=hint):
        bundle.load(copy)


def test_changed_weights_do_not_give_the_stored_output(copy):
    path = copy / "model.safetensors"
    tensors = read_tensors(path)
    tensors["model.heads.view.bias"] += 1
    path.write_bytes(write_tensors(tensors))
    reseal(copy)
    with pytest.raises(BundleError, match="stored output"):
        bundle.load(copy)


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\xff" * 40,
        (2**40).to_bytes(8, "little") + b"{}",
        b"\2" + b"\0" * 7 + b"[]",
    ],
)
def test_weights_with_a_bad_header_are_refused(copy, raw):
    (copy / "model.safetensors").write_bytes(raw)
    reseal(copy)
    with pytest.raises(BundleError, match="header"):
        bundle.load(copy)


def test_packing_the_same_twice_gives_the_same_bytes(packed, tmp_path):
    from model.bundle.write import Content

    table = json.loads((packed[0] / "bundle.json").read_text("utf-8"))
    content = Content(table, read_tensors(packed[0] / "model.safetensors"), {})
    first = bundle.save(tmp_path / "a", content)
    assert bundle.save(tmp_path / "b", content).digest == first.digest
    assert bundle.save(tmp_path / "a", content).digest == first.digest


def test_a_folder_that_is_no_bundle_is_not_overwritten(packed, tmp_path):
    from model.bundle.write import Content

    (tmp_path / "mine.txt").write_text("x", "utf-8")
    with pytest.raises(BundleError, match="give a new folder"):
        bundle.save(tmp_path, Content({}, {}))


def test_the_domain_tells_strangers():
    random = np.random.default_rng(1)
    home = random.normal(size=(400, 6)) * [1, 5, 1, 1, 1, 1]
    kinds = ["a" if i % 2 else "b" for i in range(400)]
    home[::2] += 10
    whitening, means, names = fit(home, kinds, 0.1)
    domain = Domain(whitening, means, 2.0, names)
    near, which = domain.nearest(torch.from_numpy(home).float())
    assert float(near.median()) == pytest.approx(1, abs=0.2)
    assert [names[i] for i in which] == kinds
    between = torch.full((1, 6), 5.0)
    assert float(domain.nearest(between)[0]) > float(near.max())


def test_a_head_abstains_on_a_kind_it_never_saw(copy):
    edit(copy, lambda t: t["heads"][0].update(sources=["elsewhere"]))
    prediction = bundle.load(copy).predict([phantom()])[0]
    assert prediction.probabilities["view-PA"] == pytest.approx(0.5)
    assert prediction.probabilities["inverted"] != pytest.approx(0.5, abs=1e-6)
    assert prediction.logits["view-PA"] != prediction.logits["view-AP"]


def test_statistics_by_hand():
    image = np.array([[0, 1], [0, 1]], np.float32)
    assert statistics(image) == [0.5, 0.5, 0.5, 0.5, 0.0]
    assert statistics(image.T)[4] == 1


def test_report_stands_alone_and_says_research_use(packed):
    page = (packed[0] / "report" / "report.html").read_text("utf-8")
    card = (packed[0] / "model_card.md").read_text("utf-8")
    for text in (page, card):
        assert "Research use only" in text
    assert "<script" not in page
    assert "http" not in page
    assert "CC BY 4.0" in card
    assert "Clinical Center" in card
    assert "{" not in card


def test_every_figure_has_its_number_and_interval(packed):
    for entry in packed[1].entries:
        figure = entry.figure
        assert figure.n > 0
        assert figure.n_patients > 0
        assert figure.low <= figure.value + 1e-9
        assert figure.value <= figure.high + 1e-9


@pytest.mark.parametrize("folder", sorted(p for p in SHIPPED.glob("*") if p.is_dir()))
def test_shipped_bundles_verify_and_are_small(folder):
    said = bundle.load(folder).description
    assert sum(p.stat().st_size for p in folder.rglob("*")) <= 10_000_000
    assert said.reference["n_images"] > 500
    assert "Research use only" in said.intended_use


def test_the_default_bundle_knows_phantoms():
    loaded = bundle.load(SHIPPED / "cxr-qc")
    for seed, view in ((91, "PA"), (92, "AP")):
        image = phantom(seed, view, 512, 448)
        plain, turned, inverted = loaded.predict(
            [image, np.ascontiguousarray(np.rot90(image, -1)), 1 - image]
        )
        assert plain.in_domain
        assert plain.probabilities[f"view-{view}"] > 0.9
        assert max(plain.probabilities[name] for name in NAMES[:5]) < 0.2
        assert turned.probabilities["rotated-90"] > 0.8
        assert inverted.probabilities["inverted"] > 0.8
