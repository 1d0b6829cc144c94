"""What `doctor` looks at on this machine; each look is one line with its remedy.

Nothing heavy is imported: what needs torch is in `cli.modelling`, in child processes.
"""

# ruff: noqa: PLC0415 - each look imports what it needs

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import platform
import shutil
import socket
import sqlite3
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

from dicomnode.errors import DicomNodeError
from dicomnode.version import VERSION

if TYPE_CHECKING:
    from dicomnode.config import Config

_WAL_RESET_FIXED = (3, 51, 3)
_NOT_SYNCHRONISED = 5  # TIME_ERROR of adjtimex(2)
_BUILT = datetime(2026, 1, 1, tzinfo=UTC)
_SOON = timedelta(days=30)
_DISK_MARGIN_PERCENT = 5.0


class State(StrEnum):
    """How it is: FAIL means that the node cannot do its work like this."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True, slots=True)
class Look:
    """One thing looked at; ``remedy`` is empty when it is well."""

    name: str
    state: State
    said: str
    remedy: str = ""


def ok(name: str, said: str) -> Look:
    """It is well."""
    return Look(name, State.OK, said)


def warn(name: str, said: str, remedy: str) -> Look:
    """It works, and somebody should look after it."""
    return Look(name, State.WARN, said, remedy)


def fail(name: str, said: str, remedy: str) -> Look:
    """It does not work."""
    return Look(name, State.FAIL, said, remedy)


def program() -> Iterator[Look]:
    """The program, its Python and the system."""
    python = platform.python_version()
    yield ok("program", f"dicomnode {VERSION}, Python {python}, {platform.platform()}")


def database(config: Config) -> Iterator[Look]:
    """Schema, integrity, the lock, and SQLite's WAL-reset bug."""
    from dicomnode.worklist import check

    url = config.worklist_url
    embedded = url.startswith("sqlite")
    try:
        revision = check(url, integrity=embedded)
    except DicomNodeError as error:
        what, _, remedy = str(error).rpartition("; ")
        yield fail("database", what or str(error), remedy or "see docs/worklist-sql.md")
        return
    yield ok("database", f"schema {revision}, {'SQLite' if embedded else 'PostgreSQL'}")
    if embedded:
        yield _sqlite()
        yield _lock(Path(url.partition(":///")[2].partition("?")[0]))


def _sqlite() -> Look:
    version = sqlite3.sqlite_version
    if sqlite3.sqlite_version_info >= _WAL_RESET_FIXED:
        return ok("sqlite", version)
    said = (
        f"{version} can corrupt a WAL that is reset while another process writes; our "
        "lock prevents it"
    )
    remedy = "write to the database with dicomnode only, or use SQLite 3.51.3 or newer"
    return warn("sqlite", said, remedy)


def _lock(path: Path) -> Look:
    lock = path.with_name(f"{path.name}.lock")
    try:
        with lock.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return ok("lock", "free")
    except BlockingIOError:
        remedy = f"look again; if it stays, end what holds it (`fuser {lock}`)"
        return warn("lock", "a program is writing to the database just now", remedy)
    except OSError as error:
        return fail("lock", f"{lock}: {error.strerror}", "give this user access to it")
    return ok("lock", "free")


def disk(config: Config) -> Iterator[Look]:
    """Room and write permission where instances, results and the trail lie."""
    limit = config.store.watermark_percent
    folders = {config.node.data_dir}
    if config.store.url and "://" not in config.store.url:
        folders.add(Path(config.store.url))
    for folder in sorted(folders):
        if not folder.is_dir():
            yield fail("disk", f"no folder {folder}", "make it with `dicomnode init`")
        elif not os.access(folder, os.W_OK | os.X_OK):
            yield fail("disk", f"{folder} is not writable", "give this user access")
        else:
            yield _room(folder, limit)


def _room(folder: Path, limit: float) -> Look:
    usage = shutil.disk_usage(folder)
    used = 100.0 * usage.used / (usage.used + usage.free)
    said = f"{folder} is {used:.0f} % full, studies are refused from {limit:g} %"
    remedy = "free space there, or lower retention.keep_days"
    if used >= limit:
        return fail("disk", said, remedy)
    near = used >= limit - _DISK_MARGIN_PERCENT
    return warn("disk", said, remedy) if near else ok("disk", said)


def clock() -> Iterator[Look]:
    """Whether the time can be right, and whether something keeps it right."""
    now = datetime.now(UTC)
    if now < _BUILT:
        said = f"the clock says {now:%Y-%m-%d %H:%M} UTC, before this program was made"
        yield fail("clock", said, "set it, and let NTP keep it")
        return
    said = f"{now:%Y-%m-%d %H:%M:%S} UTC"
    if not sys.platform.startswith("linux"):
        yield ok("clock", said)
    elif ctypes.CDLL(None).adjtimex(ctypes.create_string_buffer(512)) in range(5):
        yield ok("clock", f"{said}, kept by NTP")
    else:
        said = f"{said}; the kernel knows of no NTP that keeps it"
        yield warn("clock", said, "run chrony or systemd-timesyncd (on the host)")


def certificates(config: Config) -> Iterator[Look]:
    """Every certificate that the configuration names: readable, and until when."""
    tls, syslog = config.receiver.tls, config.audit.syslog
    named = {
        "receiver.tls.certificate": tls.certificate if tls.enabled else None,
        "receiver.tls.client_ca": tls.client_ca if tls.enabled else None,
        "audit.syslog.ca": syslog.ca,
        "audit.syslog.certificate": syslog.certificate,
    }
    for key, path in named.items():
        if path is not None:
            yield _certificate(key, path)


def _certificate(key: str, path: Path) -> Look:
    from cryptography import x509

    try:
        found = x509.load_pem_x509_certificates(path.read_bytes())
    except (OSError, ValueError) as error:
        said = f"{key}: {path} cannot be read ({type(error).__name__})"
        return fail("certificate", said, "name a PEM file that this user may read")
    ends_at = min(one.not_valid_after_utc for one in found)
    said = f"{key} is valid until {ends_at:%Y-%m-%d}"
    left = ends_at - datetime.now(UTC)
    if left <= timedelta():
        return fail("certificate", said, "renew it")
    if left <= _SOON:
        return warn("certificate", said, "renew it in time")
    return ok("certificate", said)


def ports(config: Config) -> Iterator[Look]:
    """Whether the receiver can listen, or does already."""
    receiver = config.receiver
    wanted = [("receiver.port", receiver.host, receiver.port)]
    if receiver.tls.enabled:
        wanted.append(("receiver.tls.port", receiver.host, receiver.tls.port))
    for key, host, port in wanted:
        yield _port(key, host, port, running=_node_runs(config))


def _port(key: str, host: str, port: int, *, running: bool) -> Look:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        with socket.socket(family) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, port))
    except OSError as error:
        if error.errno == errno.EADDRINUSE and running:
            return ok("port", f"{key} {port} is in use while this node runs")
        said = f"{key}: cannot listen on {host}:{port} ({error.strerror})"
        return fail("port", said, f"end what uses it, or set {key} or receiver.host")
    return ok("port", f"{key} {port} is free")


def _node_runs(config: Config) -> bool:
    try:
        with (config.node.data_dir / "node.lock").open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def codecs() -> Iterator[Look]:
    """Transfer syntaxes whose pixels can be decoded (PS3.5 A.4)."""
    from pydicom import uid
    from pydicom.pixels.decoders.base import get_decoder

    wanted = (
        uid.JPEGBaseline8Bit,
        uid.JPEGLossless,
        uid.JPEGLosslessSV1,
        uid.JPEGLSLossless,
        uid.JPEG2000Lossless,
        uid.JPEG2000,
        uid.RLELossless,
    )
    missing = [one.name for one in wanted if not get_decoder(one).is_available]
    if missing:
        said = f"no decoder for {', '.join(missing)}"
        yield fail("codecs", said, "install the locked requirements again")
    else:
        yield ok("codecs", f"{len(wanted)} compressed transfer syntaxes can be decoded")
