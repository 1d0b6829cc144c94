"""What `doctor` asks over the network: destinations, peers' names, the collector."""

# ruff: noqa: PLC0415 - pynetdicom only where it is needed

from __future__ import annotations

import socket
from collections.abc import Iterator
from typing import TYPE_CHECKING

from dicomnode.cli.checkups import Look, fail, ok, warn
from dicomnode.errors import ConfigError, DeliveryError

if TYPE_CHECKING:
    from dicomnode.config import Config, Destination

_NO_STUDY = "2.25.0"


def destinations(config: Config) -> Iterator[Look]:
    """C-ECHO of every destination."""
    for one in config.result_destinations:
        yield _echo(config, one)


def _echo(config: Config, destination: Destination) -> Look:
    from dicomnode.processes.senders import open_sender

    name = f"{destination.name} ({destination.ae_title})"
    try:
        seconds = open_sender(destination, config).echo()
    except DeliveryError as error:
        what, _, remedy = str(error).rpartition("; ")
        return fail("destination", f"{name}: {what or error}", remedy or "check it")
    return ok("destination", f"{name} answered in {seconds * 1000:.0f} ms")


def archives(config: Config) -> Iterator[Look]:
    """QIDO-RS of every archive whose history comes over DICOMweb."""
    for one in config.destination:
        if one.retrieve == "dicomweb":
            yield _search(config, one)


def _search(config: Config, archive: Destination) -> Look:
    from dicomnode.processes.fetching import finder

    try:
        # Nothing has it: the answer is short, and tells that we may ask.
        list(finder(config, archive).find({"StudyInstanceUID": _NO_STUDY}))
    except (ConfigError, DeliveryError) as error:
        what, _, remedy = str(error).rpartition("; ")
        said = f"{archive.name}: {what or error}"
        return fail("archive", said, remedy or "check the dicomweb_ keys")
    return ok("archive", f"{archive.name} answers at {archive.dicomweb_url}")


def peers(config: Config) -> Iterator[Look]:
    """Whether the host names of the peers can be resolved."""
    if not config.peer and config.receiver.unknown_peers == "refuse":
        remedy = "add a [[peer]] for each modality"
        yield warn("peers", "no peer is configured, so all are refused", remedy)
    for one in config.peer:
        missing = [host for host in one.hosts if not _resolves(host)]
        if missing:
            said = f"{one.ae_title}: no address for {', '.join(missing)}"
            yield warn("peers", said, "correct peer.hosts, or the name server")
        else:
            yield ok("peers", f"{one.ae_title} may call from {len(one.hosts)} host(s)")


def _resolves(host: str) -> bool:
    if "/" in host:  # a network
        return True
    try:
        socket.getaddrinfo(host, None)
    except OSError:
        return False
    return True


def collector(config: Config) -> Iterator[Look]:
    """Whether the audit collector takes a connection, and what still waits for it."""
    from dicomnode.processes.auditing import lag_bytes, target_of

    if not config.audit.enabled:
        yield warn("audit", "no audit trail is kept", "set audit.enabled = true")
        return
    target = target_of(config)
    if target is None:
        yield ok("audit", "kept in files; no collector is configured")
        return
    from dicomnode.audit import syslog

    waiting = f"{lag_bytes(config)} bytes of the trail wait for {target.host}"
    try:
        syslog.send(target, ())
    except OSError as error:
        said = f"{waiting}, which does not answer ({error.strerror or error})"
        yield warn("audit", said, "check [audit.syslog] and the collector")
        return
    yield ok("audit", f"{target.host}:{target.port} answers; {waiting}")
