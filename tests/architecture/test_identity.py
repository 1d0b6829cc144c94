"""One program, one identity: in files, in associations, in the package."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

from pydicom import dcmread
from pydicom.data import get_testdata_file
from pydicom.uid import UID
from pynetdicom import AE, AllStoragePresentationContexts, evt

from dicomnode.delivery import outgoing
from dicomnode.delivery.storage_scu import Peer, StorageScu
from dicomnode.domain.instance import InstanceKey
from dicomnode.processes.clock import SystemClock
from dicomnode.store import LocalStore
from dicomnode.version import (
    IMPLEMENTATION_CLASS_UID,
    IMPLEMENTATION_VERSION_NAME,
    VERSION,
)

ROOT = Path(__file__).resolve().parents[2]


def test_the_uid_and_the_name_are_valid():
    assert UID(IMPLEMENTATION_CLASS_UID).is_valid
    assert len(IMPLEMENTATION_VERSION_NAME) <= 16
    major, minor, _ = VERSION.split(".")
    assert f"DICOMNODE_{major}_{minor}" == IMPLEMENTATION_VERSION_NAME


def test_the_package_takes_its_version_from_the_program():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    assert "version" in project["project"]["dynamic"]
    assert project["tool"]["hatch"]["version"]["path"] == "dicomnode/version.py"
    said = subprocess.run(
        [sys.executable, "-m", "dicomnode", "--version"],
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
    )
    assert said.stdout.strip() == f"dicomnode {VERSION}"


def test_a_stored_file_names_us(tmp_path):
    store = LocalStore(tmp_path, 100.0)
    key = InstanceKey(
        "1.2", "1.3", "1.4", "1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.1.2"
    )
    location = store.put(key, [b""]).location
    with store.open(location) as file:
        meta = dcmread(file).file_meta
    assert meta.ImplementationClassUID == IMPLEMENTATION_CLASS_UID
    assert meta.ImplementationVersionName == IMPLEMENTATION_VERSION_NAME


def test_an_association_of_ours_names_us():
    """PS3.7 D.3.3.2: the destination's log shows who sent."""
    seen = []

    def note(event):
        requestor = event.assoc.requestor
        seen.append(
            (requestor.implementation_class_uid, requestor.implementation_version_name)
        )

    acceptor = AE(ae_title="PACS")
    acceptor.supported_contexts = AllStoragePresentationContexts[:100]
    handlers = [(evt.EVT_ACCEPTED, note), (evt.EVT_C_STORE, lambda _event: 0x0000)]
    server = acceptor.start_server(("127.0.0.1", 0), block=False, evt_handlers=handlers)
    peer = Peer("PACS", "127.0.0.1", server.server_address[1], "DICOMNODE")
    try:
        file = outgoing.read(Path(get_testdata_file("CT_small.dcm")))
        [answer] = StorageScu(peer, SystemClock()).send([file])
    finally:
        server.shutdown()
    assert answer.status == 0x0000
    assert seen == [(IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME)]
