"""Probabilities become statements: operating points, categories, header checks."""

from __future__ import annotations

import io
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from dicomnode.decoder.decoding import to_8_bit
from dicomnode.domain.findings import NotAnalysed, Presence
from dicomnode.domain.instance import Instance
from dicomnode.errors import ConfigError
from dicomnode.interpretation import UNDETERMINED, interpret
from dicomnode.predictor import BundlePredictor, choose_device
from model.bundle import CodeEntry, HeaderCheck, Label
from model.phantom import chest
from tests.model.datasets import image as dicom_image

BUNDLE = Path(__file__).resolve().parents[3] / "model" / "bundles" / "cxr-qc"
DISPLAY = to_8_bit(np.linspace(0, 1, 12, dtype=np.float32).reshape(3, 4))


def a_label(name, kind="finding", **changes):
    known = {
        "head": name.split("-")[0],
        "index": 0,
        "code": CodeEntry(name.upper(), "99DCMNODE", name),
        "value_code": CodeEntry(name[-2:], "99DCMNODE", name[-2:]),
        "site": None,
        "text": name[-2:],
        "operating_point": 0.5,
        "grey_low": 0.1,
        "grey_high": 0.9,
        "calibrated": True,
    }
    return Label(name=name, kind=kind, **{**known, **changes})


LABELS = (
    a_label("inverted"),
    a_label("view-PA", "category"),
    a_label("view-AP", "category"),
)
CHECK = HeaderCheck(
    head="view",
    keyword="ViewPosition",
    values={"PA": "view-PA", "AP": "view-AP"},
    code=CodeEntry("MISMATCH", "99DCMNODE", "View differs"),
    text="View looks {seen}, the header says {header}",
)


def statements(header="PA", **probabilities):
    known = {"inverted": 0.01, "view-PA": 0.97, "view-AP": 0.03}
    known |= {name.replace("_", "-"): value for name, value in probabilities.items()}
    return interpret(
        SimpleNamespace(labels=LABELS, header_checks=(CHECK,)),
        Instance("1.2.3", "1.2", "1.2", "1.2", "x", {"ViewPosition": header}),
        DISPLAY,
        SimpleNamespace(probabilities=known, activation_maps={}),
    )


@pytest.mark.parametrize(
    ("probability", "presence"),
    [(0.05, "ABSENT"), (0.5, "UNDETERMINED"), (0.95, "PRESENT")],
)
def test_a_finding_is_stated_at_its_operating_point(probability, presence):
    finding = statements(inverted=probability).findings[0]
    assert (finding.label, finding.presence) == ("inverted", Presence(presence))
    assert finding.probability == probability


@pytest.mark.parametrize(
    ("header", "seen_pa", "presence"),
    [
        ("PA", 0.97, Presence.ABSENT),
        ("pa ", 0.97, Presence.ABSENT),
        ("AP", 0.97, Presence.PRESENT),
        ("AP", 0.7, Presence.UNDETERMINED),
    ],
)
def test_the_header_is_held_against_the_picture(header, seen_pa, presence):
    found = statements(header, view_PA=seen_pa, view_AP=1 - seen_pa)
    mismatch = found.findings[-1]
    assert (mismatch.label, mismatch.presence) == ("view-differs-from-header", presence)
    assert mismatch.text == f"View looks PA, the header says {header}"


@pytest.mark.parametrize("header", ["", "LL", "OBLIQUE"])
def test_a_header_that_claims_nothing_known_is_not_judged(header):
    assert len(statements(header).findings) == 1


def test_a_choice_that_is_not_sure_is_undetermined():
    [sure] = statements().categories
    assert (sure.label, sure.value.value) == ("view-PA", "PA")
    [unsure] = statements(view_PA=0.5, view_AP=0.5).categories
    assert (unsure.label, unsure.value) == ("view-undetermined", UNDETERMINED)
    assert unsure.probability is None


def test_the_display_is_8_bit():
    display = statements().display
    assert (display.dtype, display.min(), display.max()) == (np.uint8, 0, 255)


def test_an_image_that_cannot_be_decoded_is_not_analysed_and_stops_no_other():
    predictor = BundlePredictor(BUNDLE)
    broken = Instance("1.9", "1.2", "1.2", "1.2", "x", {})
    answers = predictor.predict([(broken, io.BytesIO(b"no DICOM at all" * 50))])
    assert isinstance(answers[0], NotAnalysed)
    assert answers[0].sop_instance_uid == "1.9"
    assert answers[0].reason


def test_facts_name_the_bundle_and_what_it_accepts():
    facts = BundlePredictor(BUNDLE).describe()
    assert facts.name == "cxr-qc"
    assert len(facts.digest) == 64
    assert "CR" in facts.input.modalities
    assert "research use only" in facts.intended_use.lower()


def test_a_bundle_that_is_not_there_is_named(tmp_path):
    with pytest.raises(ConfigError, match="nothing"):
        BundlePredictor(tmp_path / "nothing")


def test_a_gpu_that_is_not_there_is_refused_with_a_remedy(monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    assert choose_device("auto") == "cpu"
    with pytest.raises(ConfigError, match='device = "cpu"'):
        choose_device("cuda:1")


def a_film(pixels, **more):
    """An instance of these display pixels, as a DICOM file in memory."""
    ds = dicom_image(np.rint(pixels * 255), **more)
    file = io.BytesIO()
    ds.save_as(file, implicit_vr=False, little_endian=True)
    file.seek(0)
    return Instance("1.7", "1.2", "1.2", "1.2", "x", {}), file


def test_checks_without_a_network_are_findings_without_probability_and_map():
    phantom = chest(91, view="PA", rows=256, columns=224) / 4095
    answers = BundlePredictor(BUNDLE).predict(
        [a_film(phantom, BurnedInAnnotation="YES"), a_film(phantom)]
    )
    labelled, plain = ({one.label: one for one in said.findings} for said in answers)
    finding = labelled["burned-in-annotation"]
    assert finding.presence is Presence.PRESENT
    assert (finding.probability, finding.activation_map) == (None, None)
    assert finding.code.value == "QC-BURNEDIN"
    assert "burned-in-annotation" not in plain  # the header does not say
    for name in ("low-contrast", "clipped", "blurred", "wide-border", "aspect"):
        assert plain[name].presence is Presence.ABSENT


def test_an_image_outside_the_domain_also_says_what_is_wrong_with_it():
    empty = np.zeros((256, 256))
    empty[100:110, 100:110] = 1
    [said] = BundlePredictor(BUNDLE).predict([a_film(empty)])
    assert isinstance(said, NotAnalysed)
    assert "outside the model's domain" in said.reason
    assert "empty border" in said.reason
