"""DCMTK's senders, as they come, against the receiver."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRLittleEndian

from tests.integration.receiving import MODALITY, Node, receiving, settings

pytestmark = pytest.mark.peer

Require = Callable[[str], str]
HANG_SECONDS = 120
"""A hung test must end; nothing is asserted about speed."""


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    with receiving(tmp_path / "instances") as running:
        yield running


def run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, capture_output=True, text=True, timeout=HANG_SECONDS, check=False
    )


def address(
    node: Node, calling: str = "MODALITY", called: str = "DICOMNODE"
) -> tuple[str, ...]:
    return ("-aet", calling, "-aec", called, "127.0.0.1", str(node.port))


def test_echoscu(node: Node, require_command: Require) -> None:
    done = run(require_command("echoscu"), "-v", *address(node))
    assert done.returncode == 0, done.stderr
    assert "Success" in done.stdout + done.stderr


@pytest.mark.parametrize(
    ("calling", "called", "message"),
    [
        ("STRANGER", "DICOMNODE", "Calling AE Title Not Recognized"),
        ("MODALITY", "OTHER", "Called AE Title Not Recognized"),
    ],
)
def test_echoscu_is_told_the_reason(
    node: Node, require_command: Require, calling: str, called: str, message: str
) -> None:
    done = run(require_command("echoscu"), *address(node, calling, called))
    assert done.returncode != 0
    assert message in done.stderr
    assert node.intake.associations[0].remedy


def test_echoscu_from_a_wrong_address(require_command: Require, tmp_path: Path) -> None:
    """The right AE title, from an address that is not its own."""
    elsewhere = replace(MODALITY, hosts=("10.1.2.3",))
    how = replace(settings(), peers=(elsewhere,))
    with receiving(tmp_path, how) as node:
        done = run(require_command("echoscu"), *address(node))
        assert "Calling AE Title Not Recognized" in done.stderr
        (seen,) = node.intake.associations
    assert 'hosts = ["10.1.2.3", "127.0.0.1"]' in seen.remedy


@pytest.mark.parametrize(
    ("option", "syntax"),
    [
        ("-xe", "1.2.840.10008.1.2.1"),
        ("-xb", "1.2.840.10008.1.2.2"),
        ("-xi", "1.2.840.10008.1.2"),
        ("-xd", "1.2.840.10008.1.2.1.99"),
        ("-xs", "1.2.840.10008.1.2.4.70"),
        ("-xt", "1.2.840.10008.1.2.4.80"),
        ("-xv", "1.2.840.10008.1.2.4.90"),
        ("-xw", "1.2.840.10008.1.2.4.91"),
        ("-xr", "1.2.840.10008.1.2.5"),
    ],
)
def test_storescu(
    node: Node, require_command: Require, shared_data: Path, option: str, syntax: str
) -> None:
    folder = shared_data / "dicom" / "transfer_syntax_same_ct"
    (source,) = folder.glob(f"*_{syntax}.dcm")
    done = run(require_command("storescu"), "-R", option, *address(node), str(source))
    assert done.returncode == 0, done.stderr
    (instance,) = node.intake.instances
    assert instance.key.transfer_syntax_uid == syntax
    with node.store.open(instance.stored.location) as file:
        assert_same(dcmread(file), dcmread(source))


def assert_same(kept: Dataset, sent: Dataset) -> None:
    """But for what DCMTK changes: the padding of pixel data, and group lengths."""
    assert (kept.pixel_array == sent.pixel_array).all()
    for ds in (kept, sent):
        del ds.PixelData
        for element in [one for one in ds if one.tag.element == 0]:
            del ds[element.tag]
    assert kept == sent


def test_storescu_that_aborts_keeps_what_was_answered(
    node: Node, require_command: Require, shared_data: Path
) -> None:
    source = shared_data / "dicom" / "transfer_syntax_same_ct" / "CTImage.dcm"
    command = require_command("storescu")
    done = run(command, "--abort", "-R", *address(node), str(source))
    assert done.returncode == 0, done.stderr
    assert len(node.files()) == 1
    assert run(require_command("echoscu"), *address(node)).returncode == 0


def test_dcmsend_of_folders(
    node: Node, require_command: Require, shared_data: Path
) -> None:
    """Many classes and transfer syntaxes, each as it is, on one association."""
    themes = ("cr_dx", "mr_misc", "nm")
    folders = [shared_data / "dicom" / theme for theme in themes]
    done = run(
        require_command("dcmsend"),
        *("-v", "-dn", "+sd", "+r", "--no-halt"),
        *address(node),
        *map(str, folders),
    )
    assert done.returncode == 0, done.stdout + done.stderr
    sources = [dcmread(path) for one in folders for path in one.rglob("*.dcm")]
    stored = {one.key.sop_instance_uid: one for one in node.intake.instances}
    assert set(stored) == {source.SOPInstanceUID for source in sources}
    for source in sources:
        instance = stored[source.SOPInstanceUID]
        syntax = source.file_meta.TransferSyntaxUID
        if not syntax.is_compressed:
            # It offers all uncompressed ones in one context, and we choose.
            syntax = ExplicitVRLittleEndian
        assert instance.key.transfer_syntax_uid == syntax
        with node.store.open(instance.stored.location) as file:
            assert_same(dcmread(file), source)
