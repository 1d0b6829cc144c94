"""An authority for tests, and the certificates that it issues."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID

HOUR = timedelta(hours=1)
Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey


@dataclass(frozen=True)
class Identity:
    """PEM files of a certificate and its key."""

    certificate: Path
    private_key: Path


class Authority:
    """Signs certificates; its own lies in ``pem``."""

    def __init__(self, folder: Path, name: str = "Hospital CA") -> None:
        self.folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = named(name)
        usage = x509.KeyUsage(
            key_cert_sign=True, crl_sign=True, digital_signature=False,
            content_commitment=False, key_encipherment=False, data_encipherment=False,
            key_agreement=False, encipher_only=False, decipher_only=False,
        )  # fmt: skip
        certificate = (
            self._builder(self._name, self._key, HOUR)
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), True)
            .add_extension(usage, True)
            .sign(self._key, hashes.SHA256())
        )
        self.pem = folder / f"{name}.pem".replace(" ", "-")
        self.pem.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))

    def issue(
        self,
        name: str,
        until: timedelta = HOUR,
        hosts: tuple[str, ...] = (),
        key: Key | None = None,
    ) -> Identity:
        """A certificate for ``hosts`` (the loopback by default), valid ``until``."""
        key = key or ec.generate_private_key(ec.SECP256R1())
        hosts = hosts or ("127.0.0.1", "localhost")
        certificate = (
            self._builder(named(name), key, until)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), True)
            .add_extension(
                x509.SubjectAlternativeName([alternative(host) for host in hosts]),
                False,
            )
            .sign(self._key, hashes.SHA256())
        )
        found = Identity(self.folder / f"{name}.crt", self.folder / f"{name}.key")
        write_key(key, found.private_key)
        pem = certificate.public_bytes(serialization.Encoding.PEM)
        found.certificate.write_bytes(pem)
        return found

    def _builder(
        self, subject: x509.Name, key: Key, until: timedelta
    ) -> x509.CertificateBuilder:
        now = datetime.now(UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - 24 * HOUR)
            .not_valid_after(now + until)
        )


def named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def alternative(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def write_key(key: Key, path: Path) -> None:
    pem = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    path.write_bytes(pem)
