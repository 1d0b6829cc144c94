"""The C-STORE SCU against a real DCMTK storescp, polite and hostile."""

from __future__ import annotations

import shutil
import signal
import socket
import subprocess
import threading
import time
from contextlib import contextmanager
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.data import get_testdata_file
from pynetdicom import AE, AllStoragePresentationContexts, evt
from pynetdicom.dul import DULServiceProvider

from dicomnode.delivery import outgoing
from dicomnode.delivery.associating import associated
from dicomnode.delivery.storage_scu import Peer, StorageScu, verification
from dicomnode.errors import DeliveryError, Unreachable
from dicomnode.processes.clock import SystemClock

pytestmark = pytest.mark.peer

HANG_SECONDS = 120.0
WRONG_TITLE = r"ANY-SCP; correct destination\.ae_title"
FILES = ["test-SR.dcm", "CT_small.dcm", "JPEG2000.dcm", "MR_small_bigendian.dcm"]


@contextmanager
def storescp(command, port, folder, *options):
    argv = [command, "--output-directory", str(folder), *options, str(port)]
    process = subprocess.Popen(
        argv, stdout=subprocess.DEVNULL, stderr=subprocess.STDOUT
    )
    try:
        wait_for(port, process)
        yield process
    finally:
        process.kill()
        process.wait()


def wait_for(port, process):
    while process.poll() is None:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.02)
    pytest.fail(f"storescp ended with {process.returncode}")


def scu(port, timeout_seconds=HANG_SECONDS):
    peer = Peer("ANY-SCP", "127.0.0.1", port, "DICOMNODE", timeout_seconds)
    return StorageScu(peer, SystemClock())


def data_set_of(path):
    with Path(path).open("rb") as file:
        file.seek(128 + 4 + 8)
        meta_length = int.from_bytes(file.read(4), "little")
        return file.read()[meta_length:]


def test_files_arrive_byte_for_byte_in_their_own_syntax(
    require_command, free_port, tmp_path
):
    port = free_port()
    paths = [Path(get_testdata_file(name)) for name in FILES]
    with storescp(require_command("storescp"), port, tmp_path, "+xa", "+B"):
        answers = scu(port).send([outgoing.read(path) for path in paths])
    assert [(answer.status, answer.error) for answer in answers] == [(0, "")] * 4
    kept = {dcmread(path).SOPInstanceUID: path for path in tmp_path.iterdir()}
    for path in paths:
        here, there = data_set_of(path), data_set_of(kept[dcmread(path).SOPInstanceUID])
        assert (path.name, len(there)) == (path.name, len(here))
        assert there == here


class Watched:
    """A connection that tells what was done with it."""

    def __init__(self, connection):
        self._connection = connection
        self.deeds = []

    def __getattr__(self, name):
        return getattr(self._connection, name)

    def send(self, data):
        self.deeds.append("sent")
        return self._connection.send(data)

    def setsockopt(self, level, option, value):
        self._connection.setsockopt(level, option, value)
        if option == socket.TCP_QUICKACK:
            self.deeds.append("acknowledging at once")


@pytest.mark.skipif(not hasattr(socket, "TCP_QUICKACK"), reason="Linux only")
def test_a_peer_with_nagles_algorithm_need_not_wait_for_us(
    require_command, free_port, tmp_path
):
    port, found = free_port(), []

    def watch(event):
        found.append(Watched(event.assoc.dul.socket.socket))
        event.assoc.dul.socket.socket = found[0]

    peer = Peer("ANY-SCP", "127.0.0.1", port, "DICOMNODE", HANG_SECONDS)
    with (
        storescp(require_command("storescp"), port, tmp_path),
        associated(peer, verification(), [(evt.EVT_CONN_OPEN, watch)]) as association,
    ):
        for _ in range(3):
            assert association.send_c_echo().Status == 0x0000
    # A-ASSOCIATE-RQ, three C-ECHO-RQ, A-RELEASE-RQ: the kernel forgets it each time.
    assert found[0].deeds == ["sent", "acknowledging at once"] * 5


def test_an_uncompressed_file_goes_to_a_peer_that_knows_implicit_vr_only(
    require_command, free_port, tmp_path
):
    port = free_port()
    path = Path(get_testdata_file("test-SR.dcm"))
    with storescp(require_command("storescp"), port, tmp_path, "+xi"):
        [answer] = scu(port).send([outgoing.read(path)])
    assert answer.accepted
    [kept] = tmp_path.iterdir()
    assert dcmread(kept) == dcmread(path)


def test_a_refused_context_says_what_to_enable_and_stops_no_other_file(
    require_command, free_port, tmp_path
):
    port = free_port()
    jpeg = outgoing.read(Path(get_testdata_file("JPEG2000.dcm")))
    plain = outgoing.read(Path(get_testdata_file("CT_small.dcm")))
    with storescp(require_command("storescp"), port, tmp_path, "+x="):
        refused, stored = scu(port).send([jpeg, plain])
    assert not refused.accepted
    assert jpeg.transfer_syntax_uid in refused.error
    assert stored.accepted


def test_a_pacs_that_aborts_in_mid_transfer_gives_no_status(
    require_command, free_port, tmp_path
):
    port = free_port()
    file = outgoing.read(Path(get_testdata_file("CT_small.dcm")))
    with storescp(require_command("storescp"), port, tmp_path, "--abort-during"):
        answers = scu(port).send([file, file])
    assert [answer.status for answer in answers] == [None, None]


def test_a_rejected_association_says_why_and_what_to_change():
    # DCMTK's storescp --refuse closes before it has read the request, so that the
    # rejection may be lost on the way; this acceptor answers as PS3.8 9.3.4 says.
    acceptor = AE(ae_title="SOMEBODY")
    acceptor.require_called_aet = True
    acceptor.supported_contexts = AllStoragePresentationContexts[:100]
    server = acceptor.start_server(("127.0.0.1", 0), block=False)
    file = outgoing.read(Path(get_testdata_file("CT_small.dcm")))
    try:
        with pytest.raises(Unreachable, match=WRONG_TITLE):
            scu(server.server_address[1]).send([file])
        peer = Peer("ANY-SCP", "127.0.0.1", server.server_address[1], "DICOMNODE")
        with pytest.raises(Unreachable, match=WRONG_TITLE):
            rejected_before_we_look(peer)
    finally:
        server.shutdown()


def rejected_before_we_look(peer):
    """By then all is over: the connection is closed, and its reactor has ended."""
    late = (evt.EVT_REQUESTED, lambda event: event.assoc.dul.join(HANG_SECONDS))
    with associated(peer, verification(), [late]):
        pytest.fail("it was rejected")


def test_nobody_there_says_what_to_check(free_port):
    file = outgoing.read(Path(get_testdata_file("CT_small.dcm")))
    with pytest.raises(Unreachable, match="check host, port"):
        scu(free_port()).send([file])
    with pytest.raises(Unreachable, match="check host, port"):
        scu(free_port()).echo()


def test_echo_measures_the_round_trip(require_command, free_port, tmp_path):
    port = free_port()
    with storescp(require_command("storescp"), port, tmp_path):
        assert scu(port).echo() > 0


def test_a_file_that_is_not_dicom_is_named(tmp_path):
    path = tmp_path / "letter.txt"
    shutil.copy(__file__, path)
    with pytest.raises(DeliveryError, match=r"letter\.txt.*PS3\.10"):
        outgoing.read(path)


def test_ctrl_c_in_the_middle_of_a_request_leaves_no_thread_behind():
    """The library's reactor is no daemon: with it the process would never end."""
    before = set(threading.enumerate())
    with socket.create_server(("127.0.0.1", 0)) as silent:

        def take_and_interrupt():
            with silent.accept()[0]:
                # A real signal: it also ends a wait.
                signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)
                gone.wait()

        gone = threading.Event()
        peer = threading.Thread(target=take_and_interrupt)
        peer.start()
        with pytest.raises(KeyboardInterrupt):
            scu(silent.getsockname()[1], timeout_seconds=HANG_SECONDS).echo()
        reactors = [
            thread
            for thread in set(threading.enumerate()) - before
            if isinstance(thread, DULServiceProvider)
        ]
        for reactor in reactors:
            reactor.join(HANG_SECONDS)
        left = [reactor for reactor in reactors if reactor.is_alive()]
        gone.set()
        peer.join()
    assert left == []
