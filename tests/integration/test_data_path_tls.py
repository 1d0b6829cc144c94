"""The data path on TLS, where OpenSSL keeps bytes of which poll tells nothing."""

from __future__ import annotations

import socket
import ssl
import subprocess
import threading
from pathlib import Path

import pytest
from pynetdicom.transport import AddressInformation

from dicomnode.receiver.upper_layer import AcceptedAssociation
from tests.integration.receiving import receiving
from tests.integration.test_data_path import DATA, LARGE, OTHER_UID, other
from tests.integration.wire import (
    RELEASE,
    RELEASED,
    Wire,
    associate_rq,
    echo_rq,
    pdu,
    pdv,
    status,
    store,
    store_rq,
)

LOOPBACK = AddressInformation("127.0.0.1", 0)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of ourselves, with its key in the same file."""
    path = tmp_path_factory.mktemp("tls") / "both.pem"
    words = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes"
    command = [*words.split(), "-subj", "/CN=node", "-keyout", path, "-out", path]
    part = path.with_suffix(".crt")
    command[-1] = part
    subprocess.run(command, check=True, capture_output=True)
    path.write_text(path.read_text() + part.read_text())
    return path


def accepted(listener: socket.socket, certificate: Path) -> ssl.SSLSocket:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    connection, _ = listener.accept()
    return context.wrap_socket(connection, server_side=True)


def wire_to(listener: socket.socket) -> Wire:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    plain = socket.create_connection(listener.getsockname())
    return Wire(context.wrap_socket(plain))


def test_instances_and_echoes_over_tls(tmp_path: Path, certificate: Path) -> None:
    with (
        receiving(tmp_path) as node,
        socket.create_server(("127.0.0.1", 0)) as listener,
    ):
        server = node.scp._server

        def serve() -> None:
            connection = accepted(listener, certificate)
            AcceptedAssociation(
                server, server.services, connection, LOOPBACK, LOOPBACK
            ).start()

        serving = threading.Thread(target=serve)
        serving.start()
        wire = wire_to(listener)
        serving.join()
        wire.send(associate_rq())
        assert next(wire.pdus(1))[0] == 2
        # Everything in one record, so that poll tells of it only once.
        echo = pdu(pdv(5, 3, echo_rq()))
        wire.send(store(DATA) + echo)
        assert [status(one) for one in wire.pdus(2)] == [0, 0]
        wire.send(store(LARGE))
        assert wire.status() == 0
        second = store(other(SOPInstanceUID=OTHER_UID), store_rq(OTHER_UID))
        wire.send(second)
        assert wire.status() == 0
        wire.send(RELEASE)
        assert next(wire.pdus(1)) == RELEASED
        wire.close()
        assert len(node.files()) == 3
