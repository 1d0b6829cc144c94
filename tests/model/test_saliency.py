"""Are the tests of maps themselves right? And the files that explain writes."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.stats import spearmanr
from torchmetrics.functional.image import structural_similarity_index_measure

from model import bundle, explain
from model.__main__ import main
from model.evaluate import saliency
from model.evaluate.saliency import Box
from model.explain import Target
from model.network import Head, build

HEAD = Head("bright", ("bright",), "sigmoid")


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(5)
    return build("slim", (HEAD,)).eval().requires_grad_(requires_grad=False)


@pytest.fixture(scope="module")
def image():
    torch.manual_seed(6)
    return torch.randn(1, 1, 32, 32)


class Corner(torch.nn.Module):
    """Looks at the upper left quarter only; its map is known."""

    def forward(self, images):
        mean = images[:, :, :8, :8].mean((1, 2, 3))
        return type("Output", (), {"logits": {"bright": 20 * mean[:, None] - 10}})()


def test_spearman_and_ssim_equal_references():
    torch.manual_seed(1)
    first = torch.rand(24, 24)
    second = (first + 0.5 * torch.rand(24, 24)) / 1.5
    expected = spearmanr(first.flatten().numpy(), second.flatten().numpy()).statistic
    assert saliency.spearman(first, second) == pytest.approx(expected, abs=1e-6)
    assert saliency.spearman(first, torch.ones(24, 24)) == 0
    assert saliency.ssim(first, first) == pytest.approx(1)
    theirs = structural_similarity_index_measure(
        first[None, None],
        second[None, None],
        gaussian_kernel=False,
        kernel_size=7,
        data_range=1.0,
    )
    # the reference divides by n, ours by n - 1, and it pads the border
    assert saliency.ssim(first, second) == pytest.approx(float(theirs), abs=0.05)


def test_a_map_of_the_right_place_deletes_fast_and_inserts_fast():
    image, target = torch.ones(1, 1, 16, 16), Target(HEAD, 0)
    right = torch.zeros(16, 16)
    right[:8, :8] = 1
    good = saliency.faithfulness(Corner(), image, target, right)
    bad = saliency.faithfulness(Corner(), image, target, 1 - right)
    assert good.deletion < 0.25
    assert bad.deletion > 0.75
    assert bad.insertion < 0.25
    assert good.insertion > 0.75


def test_cascade_tells_a_map_of_the_model_from_one_of_the_image(network, image):
    target = Target(HEAD, 0)
    before = {name: w.clone() for name, w in network.state_dict().items()}
    faithful = saliency.cascade(network, image, target, explain.integrated_gradients)
    edges = saliency.cascade(network, image, target, lambda _n, x, _t: x[0, 0].abs())
    assert [step.randomised for step in faithful][:2] == ["heads", "trunk.6"]
    assert abs(faithful[-1].spearman) < 0.3
    assert edges[-1].spearman == pytest.approx(1)
    assert edges[-1].ssim == pytest.approx(1)
    after = network.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)
    again = saliency.cascade(network, image, target, explain.integrated_gradients)
    assert again == faithful


def test_pointing_game_and_overlap_by_hand():
    map_ = torch.zeros(10, 10)
    map_[2:4, 5:7] = 1
    assert saliency.points_into(map_, [Box(5, 2, 1, 1)])
    assert not saliency.points_into(map_, [Box(0, 0, 5, 10)])
    assert not saliency.points_into(torch.ones(10, 10), [Box(0, 0, 10, 10)])
    assert saliency.overlap(map_, [Box(5, 2, 2, 2)]) == 1
    assert saliency.overlap(map_, [Box(5, 2, 2, 4)]) == pytest.approx(0.5)
    assert math.isnan(saliency.overlap(map_, []))


def test_explain_writes_maps_of_the_size_of_the_image(packed, tmp_path, capsys):
    path, out = tmp_path / "x.png", tmp_path / "maps"
    grey = np.tile(np.arange(60, dtype=np.uint8) * 4, (90, 1))
    Image.fromarray(grey).save(path)
    arguments = ["explain", str(packed[0]), str(path), "--out", str(out)]
    assert main([*arguments, "--label", "view-AP"]) == 0
    assert "Research use only" in capsys.readouterr().out
    facts = json.loads((out / "explain.json").read_text("utf-8"))
    assert len(facts["maps"]) == 6
    for fact in facts["maps"]:
        assert 0 <= fact["deletion"] <= 1
        name = f"view-AP.{fact['method']}"
        with Image.open(out / f"{name}.png") as map_:
            assert (map_.size, map_.mode) == ((60, 90), "L")
            assert "Research use only" in map_.text["Description"]
        with Image.open(out / f"{name}.overlay.png") as over:
            assert (over.size, over.mode) == ((60, 90), "RGB")


def test_cam_of_explain_is_the_map_of_service(packed, tmp_path):
    from model.evaluate import maps

    loaded = bundle.load(packed[0])
    image = np.random.default_rng(1).random((40, 32)).astype(np.float32)
    maps.write(loaded, image, tmp_path, labels=["inverted"], methods=["cam"])
    with Image.open(tmp_path / "inverted.cam.png") as written:
        found = torch.from_numpy(np.asarray(written, np.float32) / 255)
    served = torch.from_numpy(loaded.predict([image])[0].activation_maps["inverted"])
    large = torch.nn.functional.interpolate(
        served[None, None], size=(40, 32), mode="bilinear", align_corners=False
    )[0, 0]
    scale = large.max().clamp(min=1e-12)
    assert torch.allclose(found, large / scale, atol=1 / 255)


@pytest.mark.parametrize(
    ("more", "hint"),
    [
        (["--label", "x"], "label x is unknown: use rotated-90"),
        (["--method", "x"], "method x is unknown: use cam"),
    ],
)
def test_unknown_names_are_refused_with_those_known(
    packed, tmp_path, capsys, more, hint
):
    path = tmp_path / "x.png"
    Image.fromarray(np.zeros((8, 8), np.uint8)).save(path)
    arguments = ["explain", str(packed[0]), str(path), "--out", str(tmp_path / "o")]
    assert main([*arguments, *more]) == 1
    assert hint in capsys.readouterr().err
    assert main(["explain", str(packed[0]), "absent.png", "--out", "o"]) == 1
    assert "give an image" in capsys.readouterr().err
