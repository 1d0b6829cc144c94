"""Phantoms go to the fake PACS and nowhere else, or the kit does not begin."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset

from dicomnode.acceptance import admission
from dicomnode.acceptance.phantoms import MARK, Phantoms
from dicomnode.config import Config, load
from dicomnode.errors import ConfigError

NOW = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)
SITE = """
[[pipeline]]
name = "chest"
bundle = "cxr-qc"
match = {{ {match} }}
destinations = ["PACS"]

[[destination]]
name = "PACS"
ae_title = "ARCHIVE"
host = "192.0.2.7"
port = 104
"""


@pytest.fixture
def phantoms(tmp_path: Path) -> Phantoms:
    return Phantoms(tmp_path / "sent", NOW)


@pytest.fixture(scope="module")
def headers(tmp_path_factory: pytest.TempPathFactory) -> tuple[Dataset, ...]:
    """Of one radiograph and one tomograph; made once, the drawing takes a second."""
    made = Phantoms(tmp_path_factory.mktemp("headers"), NOW)
    return made.radiograph().header, made.tomograph().header


def read(folder: Path, text: str) -> Config:
    file = folder / "config.toml"
    file.write_text(text, "utf-8")
    return load(file, environ={"CREDENTIALS_DIRECTORY": "/nonexistent"})


def checked(config: Config, headers: tuple[Dataset, ...]) -> None:
    admission.check(config, admission.CALLING_AE_TITLE, headers)


def test_the_lines_that_it_asks_for_are_enough(
    tmp_path: Path, headers: tuple[Dataset, ...]
) -> None:
    with pytest.raises(ConfigError, match="is no peer; add these lines") as refused:
        checked(read(tmp_path, ""), headers)
    lines = str(refused.value).partition(":\n\n")[2]
    config = read(tmp_path, lines)
    checked(config, headers)
    assert admission.destination(config).port == admission.PACS_PORT


def test_phantoms_never_go_to_a_real_pacs(
    tmp_path: Path, headers: tuple[Dataset, ...]
) -> None:
    lines = admission.lines(Config())
    site = SITE.format(match='Modality = ["CR", "DX"]')
    with pytest.raises(ConfigError, match="pipeline chest to a real PACS") as refused:
        checked(read(tmp_path, lines + site), headers)
    remedy = f'InstitutionName = {{ not = "{MARK}" }}'
    assert remedy in str(refused.value)
    amended = SITE.format(match=f'Modality = ["CR", "DX"], {remedy}')
    checked(read(tmp_path, lines + amended), headers)


def test_a_pipeline_for_tomographs_is_seen_too(
    tmp_path: Path, headers: tuple[Dataset, ...]
) -> None:
    site = SITE.format(match='Modality = "CT"')
    with pytest.raises(ConfigError, match="pipeline chest"):
        checked(read(tmp_path, admission.lines(Config()) + site), headers)


def test_a_node_that_takes_tls_only_is_not_tried(
    tmp_path: Path, headers: tuple[Dataset, ...]
) -> None:
    tls = "[receiver.tls]\nenabled = true\nrequired = true\n"
    tls += 'certificate = "a.pem"\nprivate_key = "a.key"\n'
    with pytest.raises(ConfigError, match="run with --own-node"):
        checked(read(tmp_path, tls), headers)


def test_everything_that_is_sent_says_that_it_is_a_phantom(phantoms: Phantoms) -> None:
    studies = phantoms.radiograph(), phantoms.tomograph(), phantoms.tomograph()
    assert len({one.uid for one in studies}) == 3
    for study in studies:
        ds = study.header
        assert (ds.InstitutionName, ds.PatientName.family_name) == (MARK, "PHANTOM")
        assert ds.PatientID.startswith("ACCEPTANCE-")


def test_a_changed_study_keeps_its_uids(phantoms: Phantoms) -> None:
    study = phantoms.tomograph()
    other = phantoms.changed(study)
    assert other.uid == study.uid
    first, second = (dcmread(one.instances[0].path) for one in (study, other))
    assert first.SOPInstanceUID == second.SOPInstanceUID
    assert first.PixelData != second.PixelData


def test_the_data_set_is_what_follows_the_file_meta(phantoms: Phantoms) -> None:
    study = phantoms.tomograph()
    part10 = study.instances[0].path.read_bytes()
    assert part10.endswith(study.data_set)
    assert study.data_set[:4] == b"\x08\x00\x05\x00"
