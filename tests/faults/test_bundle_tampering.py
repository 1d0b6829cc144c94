"""Row 34, the bundle itself: whatever is altered in it, it is refused."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from dicomnode.bundles.acts import Desk
from dicomnode.bundles.shelf import Shelf
from dicomnode.errors import BundleRefused
from dicomnode.processes.clock import SystemClock
from model.bundle import BundleError, archive
from tests.faults.tampering import ALTERATIONS, CI, SHIPPED, attempts


def test_34_every_altered_bundle_is_refused(tmp_path: Path) -> None:
    tried = list(attempts(tmp_path, CI, seed=0))
    assert len(tried) == CI
    assert {name for name, _, _ in tried} == {one.__name__ for one in ALTERATIONS}
    assert [f"{name} {draw}" for name, draw, refused in tried if not refused] == []


@pytest.mark.parametrize(
    "name", ["../outside.json", "/tmp/outside.json", "a\\..\\b.json", "model.pkl"]
)
def test_34_a_zip_that_would_write_outside_or_holds_a_pickle_is_refused(
    tmp_path: Path, name: str
) -> None:
    file = tmp_path / "bundle.zip"
    archive.write(SHIPPED, file)
    with zipfile.ZipFile(file, "a", zipfile.ZIP_STORED) as grown:
        grown.writestr(name, "x")
    with pytest.raises(BundleError):
        archive.extract(file, tmp_path / "folder")
    assert not (tmp_path / "outside.json").exists()
    shelf = Shelf(tmp_path / "shelf", tmp_path / "none")
    with pytest.raises(BundleRefused):
        Desk(shelf, None, SystemClock().now()).install(file)
    assert not list((tmp_path / "shelf").rglob("*.json"))
