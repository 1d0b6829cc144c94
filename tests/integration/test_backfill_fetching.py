"""What a backfill fetches itself is kept as the receiver keeps it, or told why not."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.uid import JPEGLSLossless, RLELossless

from dicomnode.delivery.dicomweb import read
from dicomnode.demo.phantoms import encoded
from dicomnode.demo.program import wait_until
from dicomnode.domain.backfill import Retrieved
from dicomnode.errors import WorklistError
from dicomnode.receiver.requests import Limits
from dicomnode.store import layout
from tests.conftest import unavailable
from tests.integration.backfilling import PLUGIN, WAYS, Together
from tests.integration.rig import data_set
from tests.integration.sluice import Sluice

pytestmark = pytest.mark.peer

HANG_SECONDS = 300
N_MANY = 40
HALF_BYTES = N_MANY * 256 * 256
"""Of so many images: more than is read from the archive at once."""

FETCHED = ("c-get", "dicomweb")


@pytest.fixture(params=FETCHED)
def way(request: Any) -> str:
    return str(request.param)


@pytest.fixture
def together(tmp_path: Path, require_command: Any, way: str) -> Iterator[Together]:
    require_command("Orthanc")
    if way == "dicomweb" and not PLUGIN.exists():
        unavailable("Orthanc's DICOMweb (apt install orthanc-dicomweb)")
    node = Together(tmp_path, way)
    with node.receiving():
        node.open_archive()
        yield node


def fetched(together: Together, study: str, **how: Any) -> Retrieved:
    return together.scu(**how).retrieve(study, lambda: None)


def kept(together: Together) -> list[Path]:
    """The files of the store."""
    root = together.folder / "var" / "instances"
    return sorted(root / location for location in together.instances.locations())


@pytest.mark.parametrize("way", WAYS)
def test_every_instance_comes_as_it_lies_there(together: Together) -> None:
    [study] = together.fill(1, n_instances=2)
    [first, _] = together.orthanc.files(study)
    for number, syntax in enumerate((RLELossless, JPEGLSLossless), start=3):
        ds = dcmread(BytesIO(first))
        ds.SOPInstanceUID = f"{ds.SOPInstanceUID}.{number}"
        ds.InstanceNumber = number
        together.orthanc.upload(encoded(ds, syntax))
    assert fetched(together, study) == Retrieved(0, n_completed=4)
    theirs = {_uid(one): one for one in together.orthanc.files(study)}
    ours = {_uid(path.read_bytes()): path for path in kept(together)}
    assert set(ours) == set(theirs)
    for uid, path in ours.items():
        mine, original = dcmread(path), dcmread(BytesIO(theirs[uid]))
        assert mine.file_meta.TransferSyntaxUID == original.file_meta.TransferSyntaxUID
        assert _same(mine, original)
        if together.way == "dicomweb":
            assert theirs[uid].endswith(data_set(path))
    # Once more: nothing twice, nothing refused.
    assert fetched(together, study) == Retrieved(0, n_completed=4)
    assert len(kept(together)) == 4
    [row] = together.worklist.views.worklist()
    assert (row["n_instances"], row["revision"]) == (4, 1)
    assert row["calling_ae_title"] == "ORTHANC"


def test_the_limits_of_the_receiver_hold(together: Together) -> None:
    [study] = together.fill(1)
    ended = fetched(together, study, limits=Limits(max_instance_bytes=100))
    assert (ended.n_completed, ended.n_failed) == (0, 1)
    assert "raise receiver.max_instance_bytes = 100" in ended.why
    assert not kept(together)
    [event] = [
        one for one in together.worklist.views.events()
        if one["kind"] == "instance refuse"
    ]  # fmt: skip
    assert "too large" in event["detail"]


def test_what_is_not_recorded_is_not_answered_with_success(together: Together) -> None:
    [study] = together.fill(1)
    real = together.worklist.intake

    class Failing:
        def record(self, _instance: object) -> None:
            raise WorklistError("the disk has failed; replace it")

        def __getattr__(self, name: str) -> Any:
            return getattr(real, name)

    ended = fetched(together, study, intake=Failing())
    assert (ended.n_completed, ended.n_failed) == (0, 1)
    assert "the worklist cannot record" in ended.why
    assert fetched(together, study) == Retrieved(0, n_completed=1)


@pytest.mark.parametrize("way", ["dicomweb"])
def test_what_names_another_instance_is_set_aside(together: Together) -> None:
    [study] = together.fill(1)
    [content] = together.orthanc.files(study)
    other = replace(read(content), sop_instance_uid="1.2.3")
    taken = together.taking().take(other, 0)
    assert taken.status == 0xA900
    [name] = (together.folder / "var" / "instances" / layout.QUARANTINE).iterdir()
    assert f"set aside as {name.name}" in taken.comment
    assert taken.short_comment == taken.comment[:64]
    assert not kept(together)


@pytest.mark.parametrize("way", WAYS)
def test_killed_in_the_middle_of_a_study(together: Together) -> None:
    [study] = together.fill(1, n_instances=N_MANY, side=256)
    # Some instances come, the others not before it is killed.
    sluice = Sluice(together.fetched_from, HALF_BYTES)
    with sluice.running() as port:
        together.configure(in_flight=1, through=port)
        killed_when_some_have_come(together)
        n_before = len(kept(together))
        if together.way != "c-move":  # else the receiver, which lives, takes the rest
            assert n_before < N_MANY
            assert together.states() == {study: "ASKED"}
    together.configure(in_flight=1)
    resumed = str(together.row()["backfill_id"])
    with together.program("backfill", "--resume", resumed) as again:

        def analysed() -> bool:
            together.work()
            return together.row()["state"] == "COMPLETED"

        assert wait_until(analysed, lambda: None, HANG_SECONDS), again.tail()
    assert together.states() == {study: "ANALYSED"}
    [row] = together.worklist.views.worklist()
    assert (row["n_instances"], row["revision"]) == (N_MANY, 1)
    assert together.n_analysed == 1
    uids = [_uid(path.read_bytes()) for path in kept(together)]
    assert len(uids) == len(set(uids)) == N_MANY


def killed_when_some_have_come(together: Together) -> None:
    words = ("backfill", "--from", "ARCHIVE", "--query", "ModalitiesInStudy=DX")
    with together.program(*words) as killed:

        def some_came() -> bool:
            return len(kept(together)) >= 5

        assert wait_until(some_came, killed.check, HANG_SECONDS)
        killed._process.kill()  # type: ignore[union-attr]
        killed._process.wait()  # type: ignore[union-attr]


def _uid(content: bytes) -> str:
    return str(dcmread(BytesIO(content), stop_before_pixels=True).SOPInstanceUID)


def _same(one: Dataset, other: Dataset) -> bool:
    return {str(e.tag): e.value for e in one} == {str(e.tag): e.value for e in other}
