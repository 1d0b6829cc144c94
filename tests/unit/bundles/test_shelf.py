"""The shelf of bundles: versions side by side, one in use, a way back, a history."""

from __future__ import annotations

import json
import shutil
from datetime import UTC, datetime
from pathlib import Path

import pytest

from dicomnode.bundles.acts import HISTORY, Desk
from dicomnode.bundles.shelf import STATE, Shelf, State, digest_of
from dicomnode.errors import BundleRefused, ConfigError, UnknownBundle
from model.bundle import integrity, write_zip
from tests.model.foreign import key_pair

SHIPPED = Path(__file__).resolve().parents[3] / "model" / "bundles"
NOON = datetime(2026, 11, 25, 12, tzinfo=UTC)


@pytest.fixture
def desk(tmp_path):
    return Desk(Shelf(tmp_path / "bundles", SHIPPED), None, NOON)


@pytest.fixture
def newer(tmp_path):
    return version_of(tmp_path / "newer", "9.9.9")


def version_of(folder, version):
    """The shipped bundle under another version number."""
    shutil.copytree(SHIPPED / "cxr-qc", folder)
    table = json.loads((folder / "bundle.json").read_text("utf-8"))
    table["version"] = version
    (folder / "bundle.json").write_text(json.dumps(table), "utf-8")
    (folder / integrity.MANIFEST).write_bytes(integrity.build(folder))
    return folder


def test_what_is_not_installed_is_shipped_or_unknown(desk):
    assert desk.shelf.folder("cxr-qc") == SHIPPED / "cxr-qc"
    assert desk.shelf.folder("cxr-qc", shadow=True) == SHIPPED / "cxr-qc"
    assert "cxr-qc" in desk.shelf.names()
    with pytest.raises(UnknownBundle, match="install it"):
        desk.shelf.folder("nothing")


def test_installing_and_going_back(desk, newer):
    act = desk.install(newer)
    folder = desk.shelf.folder("cxr-qc")
    assert folder == act.folder
    assert folder.name == f"9.9.9-{act.digest[:12]}"
    assert digest_of(folder) == act.digest == digest_of(newer)
    desk.rollback("cxr-qc")
    assert desk.shelf.folder("cxr-qc") == SHIPPED / "cxr-qc"
    assert folder.is_dir()  # kept
    with pytest.raises(BundleRefused, match="no earlier version"):
        desk.rollback("cxr-qc")
    lines = (desk.shelf.root / HISTORY).read_text("utf-8").splitlines()
    history = [json.loads(line) for line in lines]
    assert [one["act"] for one in history] == ["installed", "rolled back"]
    assert history[0]["digest"] == act.digest
    assert history[0]["at"] == "2026-11-25T12:00:00+00:00"


def test_a_shadow_is_promoted_by_a_person_only(desk, newer):
    with pytest.raises(BundleRefused, match="in shadow"):
        desk.promote("cxr-qc")
    act = desk.install(newer, shadow=True)
    assert desk.shelf.folder("cxr-qc") == SHIPPED / "cxr-qc"
    assert desk.shelf.folder("cxr-qc", shadow=True) == act.folder
    desk.promote("cxr-qc")
    assert desk.shelf.folder("cxr-qc") == act.folder
    assert desk.shelf.state("cxr-qc") == State(act.folder.name, "", ("",))


def test_a_zip_is_installed_like_its_folder(desk, newer, tmp_path):
    file = write_zip(newer, tmp_path / "newer.zip")
    assert desk.install(file).folder == desk.shelf.folder("cxr-qc")
    assert desk.install(newer).folder == desk.shelf.folder("cxr-qc")  # again: the same
    assert len(list(desk.shelf.versions("cxr-qc"))) == 2
    assert not list(desk.shelf.root.glob(".new-*"))


def test_nothing_is_overwritten(desk, newer, tmp_path):
    desk.install(newer)
    other = version_of(tmp_path / "other", "9.9.9")
    (other / "model_card.md").write_text("changed", "utf-8")
    (other / integrity.MANIFEST).write_bytes(integrity.build(other))
    with pytest.raises(BundleRefused, match="another content"):
        desk.install(other)


@pytest.mark.parametrize("version", ["../../x", "1", "1.2.3/x"])
def test_a_version_that_is_none_is_refused(desk, tmp_path, version):
    with pytest.raises(BundleRefused, match="no name and version"):
        desk.install(version_of(tmp_path / "odd", version))


def test_a_broken_bundle_leaves_the_shelf_as_it_was(desk, newer):
    with (newer / "model_card.md").open("a", encoding="utf-8") as file:
        file.write("x")
    with pytest.raises(BundleRefused, match="another size"):
        desk.install(newer)
    assert list(desk.shelf.root.iterdir()) == []


def test_a_bundle_copied_by_hand_is_used_and_not_overwritten(desk, newer):
    shutil.copytree(newer, desk.shelf.root / "cxr-qc")
    assert desk.shelf.folder("cxr-qc") == desk.shelf.root / "cxr-qc"
    with pytest.raises(BundleRefused, match="by hand"):
        desk.install(newer)


def test_with_a_key_only_signed_bundles_get_in(desk, newer, tmp_path):
    from model.bundle import sign_bundle

    private, public = key_pair(tmp_path)
    strict = Desk(desk.shelf, public, NOON)
    with pytest.raises(BundleRefused, match=r"no MANIFEST\.sig"):
        strict.install(newer)
    sign_bundle(newer, private)
    assert strict.install(newer).version == "9.9.9"


def test_an_unreadable_state_is_told(desk):
    folder = desk.shelf.root / "cxr-qc"
    folder.mkdir(parents=True)
    (folder / STATE).write_text("{", "utf-8")
    with pytest.raises(ConfigError, match="install the bundle again"):
        desk.shelf.folder("cxr-qc")


def test_the_addendum_belongs_to_one_digest(desk, newer):
    folder = desk.install(newer).folder
    assert desk.shelf.addendum(folder) is None
    name = f"cxr-qc-{digest_of(folder)[:12]}.site.json"
    (desk.shelf.root / name).write_text("{}", "utf-8")
    assert desk.shelf.addendum(folder) == desk.shelf.root / name
    assert desk.shelf.addendum(SHIPPED / "cxr-qc") is None
