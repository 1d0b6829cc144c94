"""A syslog collector over TLS on the loopback, with an authority of its own."""

from __future__ import annotations

import datetime
import ipaddress
import socket
import ssl
import threading
from dataclasses import dataclass, field
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


@dataclass(frozen=True)
class Authority:
    """Signs certificates for tests; ``ca`` is its PEM file."""

    folder: Path
    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate

    @property
    def ca(self) -> Path:
        return self.folder / "ca.pem"

    def issue(self, name: str, *, days: int = 1) -> tuple[Path, Path]:
        """Files of a certificate for 127.0.0.1 and localhost, and its key."""
        key = ec.generate_private_key(ec.SECP256R1())
        names: list[x509.GeneralName] = [
            x509.DNSName("localhost"),
            x509.IPAddress(ipaddress.ip_address("127.0.0.1")),
        ]
        built = (
            _builder(name, self.certificate.subject, key, days)
            .add_extension(x509.SubjectAlternativeName(names), critical=False)
            .sign(self.key, hashes.SHA256())
        )
        paths = self.folder / f"{name}.pem", self.folder / f"{name}.key"
        _write(paths[0], built)
        paths[1].write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
        return paths


def authority(folder: Path) -> Authority:
    """A new one, with its certificate in ``folder``."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = _name("Authority of the tests")
    certificate = (
        _builder("Authority of the tests", subject, key, 2)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    made = Authority(folder, key, certificate)
    _write(made.ca, certificate)
    return made


def _builder(
    name: str, issuer: x509.Name, key: ec.EllipticCurvePrivateKey, days: int
) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(_name(name))
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=10))
        .not_valid_after(now + datetime.timedelta(days=days))
    )


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _write(path: Path, certificate: x509.Certificate) -> None:
    path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))


@dataclass
class Collector:
    """Takes messages framed as RFC 5425 says; ``port`` 0: the system chooses."""

    context: ssl.SSLContext
    port: int = 0
    messages: list[bytes] = field(default_factory=list)
    arrived: threading.Condition = field(default_factory=threading.Condition)

    def __enter__(self) -> Collector:
        self._listener = socket.create_server(("127.0.0.1", self.port))
        self.port = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        # A listener that is closed does not wake its accept(2); one shut down does.
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join()

    def wait_for(self, number: int, seconds: float = 300) -> list[bytes]:
        """The messages once there are so many."""
        with self.arrived:
            assert self.arrived.wait_for(lambda: len(self.messages) >= number, seconds)
            return list(self.messages)

    def _serve(self) -> None:
        while True:
            try:
                plain, _ = self._listener.accept()
            except OSError:
                return
            try:
                with self.context.wrap_socket(plain, server_side=True) as connection:
                    self._take(connection)
            except OSError:
                plain.close()

    def _take(self, connection: ssl.SSLSocket) -> None:
        with connection.makefile("rb") as stream:
            while number := _number(stream):
                message = stream.read(number)
                assert len(message) == number
                with self.arrived:
                    self.messages.append(message)
                    self.arrived.notify_all()
        connection.unwrap()


def _number(stream) -> int:
    digits = b""
    while (letter := stream.read(1)) not in (b" ", b""):
        digits += letter
    return int(digits or b"0")


def server_context(made: Authority, *, mutual: bool = False) -> ssl.SSLContext:
    """What a collector with a certificate of ``made`` speaks."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*made.issue("collector"))
    if mutual:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(made.ca)
    return context
