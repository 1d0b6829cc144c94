"""The certificates that a configuration names: whether they will work."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from dicomnode.config import Called, Config, Tls, origin
from dicomnode.health.alarms import Certificate
from dicomnode.tls import TlsFiles, TlsPeer, ends, faults

_RECEIVER_KEYS = {
    "certificate": "certificate",
    "private_key": "private_key",
    "authorities": "client_ca",
}
_CALLED_KEYS = {
    "certificate": "tls_certificate",
    "private_key": "tls_private_key",
    "authorities": "tls_ca",
}


def of_receiver(tls: Tls) -> TlsFiles:
    """What ``[receiver.tls]`` names."""
    return TlsFiles(tls.certificate, tls.private_key, tls.client_ca)


def of_called(one: Called, host: str) -> TlsPeer | None:
    """How to call a ``[[destination]]`` or ``[[peer]]``; None: without TLS.

    Its certificate must name ``host`` unless it is told which name.
    """
    if not one.tls:
        return None
    files = TlsFiles(one.tls_certificate, one.tls_private_key, one.tls_ca)
    return TlsPeer(files, one.tls_server_name or host)


def problems(config: Config, now: datetime) -> Iterator[str]:
    """A line for each file that cannot work: where it is named, why not, remedy."""
    places = origin(config)
    for table, keys, files in _tables(config):
        for field, words in faults(files, now):
            key = f"{table}.{keys[field]}"
            place = places.get(key) or places.get(table, "")
            yield f"{place}: {key} {words}" if place else f"{key} {words}"


def certificates(config: Config) -> Iterator[Certificate]:
    """Each certificate that is named, and until when it is valid."""
    for table, keys, files in _tables(config):
        for field, path, until in ends(files):
            yield Certificate(f"{table}.{keys[field]}", path, until)


def _tables(config: Config) -> Iterator[tuple[str, dict[str, str], TlsFiles]]:
    if config.receiver.tls.enabled:
        yield "receiver.tls", _RECEIVER_KEYS, of_receiver(config.receiver.tls)
    called = (("peer", config.peer), ("destination", config.destination))
    for name, tables in called:
        for number, one in enumerate(tables, start=1):
            if tls := of_called(one, ""):
                yield f"{name}[{number}]", _CALLED_KEYS, tls.files
