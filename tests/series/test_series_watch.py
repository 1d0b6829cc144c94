"""Series are checked and watched as images are: header, pixels, domain and drift."""

from __future__ import annotations

import json
from shutil import copytree

import numpy as np
import pytest

from dicomnode.config import load
from dicomnode.decoder import DecodeLimits, DecoderPool, InThisProcess
from dicomnode.domain.findings import Presence
from dicomnode.domain.job import Outcome
from dicomnode.predictor import BundlePredictor
from dicomnode.processes.trial import studies_of
from dicomnode.processes.work import watched
from dicomnode.worker.pipeline import Listeners, Pipeline
from model import bundle, monitor
from model.bundle import integrity, watch
from model.phantom_ct import scan
from tests.contract.fakes import MemoryStore
from tests.series import ct
from tests.series.test_series_pipeline import JOB, SPEC, Files, Site, texts
from tests.unit.results import cases

N_HOME, N_AWAY, SLICES = 32, 36, 12
CHECKS = [
    {
        "name": "burned-in-annotation",
        "keyword": "BurnedInAnnotation",
        "values": ["YES"],
        "code": {"value": "QC-BURNEDIN", "scheme": "99DCMNODE", "meaning": "Burned in"},
        "text": "Text is burned into the pixels",
    },
    {
        "name": "thick",
        "keyword": "SliceThickness",
        "limits": {"usual_high": 6, "high": 8},
        "code": {"value": "QC-THICK", "scheme": "99DCMNODE", "meaning": "Thick slices"},
        "text": "Slices are {value} mm thick",
    },
    {
        "name": "low-contrast",
        "measure": "contrast",
        "limits": {"low": 0.2},
        "code": {"value": "QC-CONTRAST", "scheme": "99DCMNODE", "meaning": "Flat"},
        "text": "Contrast is low ({value})",
    },
]


def packed(ct_bundle, folder, **changes):
    """The same bundle with more in its description."""
    copytree(ct_bundle, folder)
    path = folder / "bundle.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    (folder / integrity.MANIFEST).write_bytes(integrity.build(folder))
    return folder


def volume(seed, *, lesion=True):
    return scan(seed, lesion=lesion, n_slices=SLICES, size=ct.PIXELS, spacing_mm=15)


@pytest.fixture(scope="module")
def checked(ct_bundle, tmp_path_factory):
    folder = tmp_path_factory.mktemp("checked") / "ct-nodule"
    with DecoderPool(DecodeLimits(), 1) as pool:
        # Home lies near 0.5.
        domain = {"limit": 1.5, "kinds": ["phantom"]}
        made = packed(ct_bundle, folder, quality=CHECKS, domain=domain)
        yield Site(made, pool)


def test_checks_speak_of_the_whole_series(checked, tmp_path):
    found = volume(3)
    ct.write_series(found, tmp_path, BurnedInAnnotation="YES", SliceThickness=7)
    analysis = checked.analyse(tmp_path)
    assert analysis.findings == {
        "nodule": Presence.PRESENT,
        "burned-in-annotation": Presence.PRESENT,
        "thick": Presence.UNDETERMINED,
        "low-contrast": Presence.ABSENT,
    }
    said = "\n".join(texts(checked.read(analysis, "sr")))
    assert "Text is burned into the pixels" in said
    assert "most in slice" in said


def test_checks_read_the_functional_groups_of_a_multi_frame_object(checked, tmp_path):
    ds = ct.enhanced(volume(3))
    measures = ds.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0]
    measures.SliceThickness = 9
    ct.write(ds, tmp_path / "enhanced.dcm")
    assert checked.analyse(tmp_path).findings["thick"] is Presence.PRESENT


def test_a_flat_series_is_outside_the_domain_and_says_what_is_wrong(checked, tmp_path):
    found = volume(3)
    found.hounsfield[:] = -200 + found.hounsfield // 40
    ct.write_series(found, tmp_path)
    analysis = checked.analyse(tmp_path)
    assert analysis.outcome is Outcome.NOT_ANALYSED
    assert "the series does not look like what the model was made for" in (
        analysis.reason
    )
    assert "Contrast is low" in analysis.reason


def reference_of(folder):
    """Drift reference of home series, as packing makes it."""
    loaded = bundle.load(folder)
    said = []
    for seed in range(N_HOME):
        found = volume(500 + seed, lesion=seed % 2 == 0)
        stacks = [ct.stack_of(found, n) for n in range(SLICES)]
        said.append(loaded.sum_up(loaded.infer([loaded.prepare(x) for x in stacks])))
    rates = {monitor.OUTSIDE: 0.0, monitor.UNDETERMINED: 0.0}
    return monitor.build_reference(watch.columns(said), rates).to_dict()


@pytest.fixture(scope="module")
def watching(ct_bundle, tmp_path_factory):
    """A pipeline as the worker wires it, and where its monitor keeps its state."""
    root = tmp_path_factory.mktemp("watching")
    reference = reference_of(ct_bundle)
    folder = packed(ct_bundle, root / "ct-nodule", reference=reference)
    (root / "config.toml").write_text('[node]\ndata_dir = "var"\n')
    config = load(root / "config.toml")
    predictor = BundlePredictor(folder, decoder=InThisProcess())
    watching = watched(config, "ct", predictor)
    pipeline = Pipeline(
        SPEC,
        watching,
        Files(),
        MemoryStore(),
        cases.NODE,
        Listeners(ended=watching.settle),
    )
    return pipeline, config.node.data_dir / "monitor" / "ct.json"


def feed(pipeline, folder, numbers, station, shift):
    """Series of one machine; brighter by a shift in Hounsfield units."""
    for number in numbers:
        found = volume(700 + number, lesion=number % 2 == 0)
        np.clip(found.hounsfield + shift, -1024, 3071, out=found.hounsfield)
        ds = ct.enhanced(found)
        ds.StationName = station
        ct.write(ds, folder / str(number) / "enhanced.dcm")
        [instances] = studies_of(folder / str(number)).values()
        pipeline.analyse(JOB, instances)
        pipeline.ended()


def test_a_shift_of_one_machine_is_flagged_within_fifty_series(watching, tmp_path):
    pipeline, state = watching
    feed(pipeline, tmp_path / "home", range(N_HOME, 2 * N_HOME), "CT1", 0)
    assert json.loads(state.read_text())["alarms"] == []
    feed(pipeline, tmp_path / "away", range(N_AWAY), "CT2", 120)
    stored = json.loads(state.read_text())
    assert stored["streams"]["station Phantom CT1"]["n_images"] == N_HOME
    streams = {one["stream"] for one in stored["alarms"]}
    assert "station Phantom CT2" in streams
    assert "station Phantom CT1" not in streams
