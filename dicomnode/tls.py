"""TLS after PS3.15 B.12 (BCP 195: RFC 8996 and RFC 9325), for receiver and deliverer.

TLS 1.2 and 1.3 only, with forward secrecy and authenticated encryption only; no
renegotiation, no compression.
"""

from __future__ import annotations

import ssl
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import structlog
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from dicomnode.errors import ConfigError

_LOG = structlog.get_logger(__name__)

# RFC 9325 4.2.1, in the names of OpenSSL; those of TLS 1.3 are all good, and set apart.
SUITES = (
    "ECDHE-ECDSA-AES128-GCM-SHA256",
    "ECDHE-RSA-AES128-GCM-SHA256",
    "ECDHE-ECDSA-AES256-GCM-SHA384",
    "ECDHE-RSA-AES256-GCM-SHA384",
)


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """PEM files: our certificate with its chain, its key, and whom we trust.

    ``authorities`` None: as a server ask no certificate of the peer, as a client trust
    the authorities of the system.
    """

    certificate: Path | None = None
    private_key: Path | None = None
    authorities: Path | None = None

    def stamp(self) -> tuple[tuple[int, int, int], ...]:
        """Changes when a file does; raises OSError when one is not there."""
        found = (one.stat() for one in self._named())
        return tuple((one.st_mtime_ns, one.st_size, one.st_ino) for one in found)

    def _named(self) -> tuple[Path, ...]:
        every = (self.certificate, self.private_key, self.authorities)
        return tuple(one for one in every if one)


@dataclass(frozen=True, slots=True)
class TlsPeer:
    """How to encrypt, and the name that the peer's certificate must hold."""

    files: TlsFiles
    server_name: str


_REMEDIES = {
    "expired": "renew its certificate, and check the clocks",
    "match": "set {table}.tls_server_name to the name in its certificate",
    "not valid for": "set {table}.tls_server_name to the name in its certificate",
    "issuer": "name the authority that signed its certificate in {table}.tls_ca",
    "self-signed": "name the authority of its certificate in {table}.tls_ca",
    "wrong_version": "it does not speak TLS on this port; correct {table}.port",
}
"""A word of OpenSSL about a failed handshake -> remedy."""


def handshake_failed(failure: str, table: str) -> str:
    """``ClientContext.failure`` in words with the remedy, in a table of config.toml."""
    words = failure.lower()
    remedy = next(
        (text for word, text in _REMEDIES.items() if word in words),
        "check that it takes TLS 1.2 or 1.3 on this port, and read its log",
    )
    return f"TLS handshake failed ({failure}); {remedy.format(table=table)}"


def server_context(
    files: TlsFiles, socket_class: type[ssl.SSLSocket] = ssl.SSLSocket
) -> ssl.SSLContext:
    """For who accepts connections; mutual TLS when ``authorities`` are given.

    Raises ConfigError.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    _profile(context)
    context.options |= ssl.OP_CIPHER_SERVER_PREFERENCE
    context.sslsocket_class = socket_class
    if files.authorities:
        context.verify_mode = ssl.CERT_REQUIRED
        _trust(context, files.authorities)
    _show(context, files)
    return context


def client_context(files: TlsFiles) -> ClientContext:
    """For who opens connections; the server's certificate and name are verified.

    Raises ConfigError.
    """
    context = ClientContext(ssl.PROTOCOL_TLS_CLIENT)
    _profile(context)
    if files.authorities:
        _trust(context, files.authorities)
    else:
        context.load_default_certs()
    if files.certificate:
        _show(context, files)
    return context


class _TellingSocket(ssl.SSLSocket):
    """Leaves on its context why a handshake failed, for whoever must explain it."""

    def connect(self, address: Any) -> None:
        """Like that of a socket; one that comes to nothing is closed."""
        try:
            super().connect(address)
        except OSError:
            self.close()
            raise

    def do_handshake(self, block: bool = False) -> None:
        """Like that of a socket."""
        try:
            super().do_handshake(block)
        except OSError as error:
            if isinstance(self.context, ClientContext):
                self.context.failure = _words(error)
            raise


class ClientContext(ssl.SSLContext):
    """``failure``: why the last handshake failed; empty when it did not."""

    failure = ""
    sslsocket_class = _TellingSocket


def _words(error: OSError) -> str:
    detail = getattr(error, "verify_message", "") or getattr(error, "reason", "")
    return str(detail or error.strerror or error)


class ServerContexts:
    """The context to use just now: a changed certificate is loaded at once.

    A file that cannot be loaded changes nothing, and is told in the log.
    """

    def __init__(
        self, files: TlsFiles, socket_class: type[ssl.SSLSocket] = ssl.SSLSocket
    ) -> None:
        self._files = files
        self._socket_class = socket_class
        self._lock = threading.Lock()
        self._context = server_context(files, socket_class)
        self._seen: object = _stamp(files)

    def current(self) -> ssl.SSLContext:
        """For the next connection."""
        with self._lock:
            stamp = _stamp(self._files)
            if stamp != self._seen:
                self._seen = stamp
                self._reload()
            return self._context

    def _reload(self) -> None:
        try:
            self._context = server_context(self._files, self._socket_class)
        except ConfigError as error:
            _LOG.error("tls.certificate_not_reloaded", error=str(error))
        else:
            _LOG.info("tls.certificate_reloaded", file=str(self._files.certificate))


def faults(files: TlsFiles, now: datetime) -> Iterator[tuple[str, str]]:
    """What is wrong with the files: field of TlsFiles, and words with the remedy."""
    try:
        yield from _of_validity(files, now)
        if files.certificate:
            server_context(files)
        elif files.authorities:
            client_context(files)
    except ConfigError as error:
        yield _field_of(files, error), str(error)


def _of_validity(files: TlsFiles, now: datetime) -> Iterator[tuple[str, str]]:
    certificates = {"certificate": files.certificate, "authorities": files.authorities}
    for field, path in certificates.items():
        for one in _certificates(path) if path else ():
            if one.not_valid_after_utc <= now:
                until = f"{one.not_valid_after_utc:%Y-%m-%d %H:%M}Z"
                message = f"{path}: the certificate expired at {until}; renew it"
                yield field, message
            elif now < one.not_valid_before_utc:
                since = f"{one.not_valid_before_utc:%Y-%m-%d %H:%M}Z"
                message = f"{path}: the certificate is valid from {since} on; wait, or"
                yield field, f"{message} set this machine's clock"


def ends(files: TlsFiles) -> Iterator[tuple[str, Path, datetime]]:
    """Until when the certificates are valid: field of TlsFiles, file, aware UTC.

    Files that cannot be read are left out; ``faults`` tells of them.
    """
    named = {"certificate": files.certificate, "authorities": files.authorities}
    for field, path in named.items():
        with suppress(ConfigError):
            for one in _certificates(path) if path else ():
                yield field, path or Path(), one.not_valid_after_utc


def _certificates(path: Path) -> list[x509.Certificate]:
    try:
        return x509.load_pem_x509_certificates(path.read_bytes())
    except OSError as error:
        raise _unreadable(path, error) from error
    except ValueError as error:
        message = f"{path}: holds no certificate in PEM; name a file that begins with"
        raise ConfigError(f"{message} -----BEGIN CERTIFICATE-----") from error


def _field_of(files: TlsFiles, error: ConfigError) -> str:
    named = {"private_key": files.private_key, "authorities": files.authorities}
    found = (name for name, path in named.items() if str(error).startswith(f"{path}:"))
    return next(found, "certificate")


def _profile(context: ssl.SSLContext) -> None:
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(":".join(SUITES))
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION


def _trust(context: ssl.SSLContext, path: Path) -> None:
    try:
        context.load_verify_locations(path)
    except ssl.SSLError as error:
        message = f"{path}: holds no certificate of an authority in PEM; name such a"
        raise ConfigError(f"{message} file ({error.reason})") from error
    except OSError as error:
        raise _unreadable(path, error) from error


def _show(context: ssl.SSLContext, files: TlsFiles) -> None:
    certificate, key = files.certificate, files.private_key
    if certificate is None or key is None:
        message = "TLS needs certificate and private_key together; name both PEM files"
        raise ConfigError(message)
    _certificates(certificate)
    _check_key(key)
    try:
        # A password would have to be asked for, and nobody is there to answer.
        context.load_cert_chain(certificate, key, password=lambda: b"")
    except ssl.SSLError as error:
        message = f"{key}: is not the key of {certificate}; name the key that it was"
        raise ConfigError(f"{message} made for ({error.reason})") from error


def _check_key(path: Path) -> None:
    try:
        serialization.load_pem_private_key(path.read_bytes(), password=None)
    except OSError as error:
        raise _unreadable(path, error) from error
    except TypeError as error:
        message = f"{path}: the key has a password; store it without one, readable by"
        raise ConfigError(f"{message} the service only") from error
    except ValueError as error:
        message = f"{path}: holds no private key in PEM; name a file that begins with"
        raise ConfigError(f"{message} -----BEGIN PRIVATE KEY-----") from error


def _unreadable(path: Path, error: OSError) -> ConfigError:
    words = error.strerror or "cannot be read"
    message = f"{path}: {words}; name a PEM file that the service may read"
    return ConfigError(message)


def _stamp(files: TlsFiles) -> object:
    try:
        return files.stamp()
    except OSError:
        # In the middle of being replaced, or gone: what is loaded stays.
        return None
