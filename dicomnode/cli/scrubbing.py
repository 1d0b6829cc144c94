"""Without identity: what leaves the hospital in a support bundle.

Known names (hosts, AE titles, the site) and everything that looks like a UID or an
address become words that are the same throughout one bundle and mean nothing outside
it: the key is drawn for each bundle and thrown away.
"""

from __future__ import annotations

import getpass
import hashlib
import hmac
import re
import secrets
import socket
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dicomnode.config import Config

_UID = re.compile(r"\b[0-9]+(?:\.[0-9]+){4,}\b")
_ADDRESS = re.compile(
    r"\b\d{1,3}(?:\.\d{1,3}){3}\b|\b[0-9a-fA-F]{0,4}(?::[0-9a-fA-F]{0,4}){3,}"
)
_QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"')
_LENGTH = 8
_SHORTEST_NAME = 2
_LOOPBACK = frozenset({"127.0.0.1", "0.0.0.0", "localhost", "::1", "::"})  # noqa: S104
# SOP classes and transfer syntaxes are of the standard and say nothing of a patient.
_STANDARD = "1.2.840.10008."

WORDS = frozenset(
    {
        "after", "bundle", "code_scheme", "destinations", "device", "findings",
        "language", "log_format", "log_level", "mode", "name", "precision", "profile",
        "results", "storage_commitment", "unknown_peers",
    }
)  # fmt: skip
"""Keys of the configuration whose texts are words of ours, or of technical parts."""

COLUMNS = frozenset(
    {
        "study_instance_uid", "revision", "modality", "n_series", "n_instances",
        "study_state", "pipeline", "job_id", "job_state", "outcome", "reason",
        "attempts", "received_at", "completed_at", "started_at", "finished_at",
        "priority", "error", "seq", "at", "kind", "state", "detail", "destination",
        "result_kind", "sop_instance_uid", "next_attempt_at", "status", "sent_at",
        "committed_at", "device", "bundle", "heartbeat_at", "accepted", "remedy",
        "began_at", "ended_at", "last_done_at", "succeeded_at", "failed_at",
        "enlisted_at", "led_until", "name", "n_jobs", "jobs_per_hour", "queued_since",
        "warm_seconds",
    }
)  # fmt: skip
"""Columns of the v1 views that stay, texts scrubbed; of others only a pseudonym."""


class Scrubber:
    """Gives the same pseudonym for the same value, within one bundle."""

    def __init__(self, names: Sequence[str] = ()) -> None:
        self._key = secrets.token_bytes(32)
        known = {name for name in names if len(name) >= _SHORTEST_NAME} - _LOOPBACK
        longest_first = sorted(known, key=lambda name: (-len(name), name))
        pattern = "|".join(map(re.escape, longest_first))
        self._names = re.compile(f"(?<!\\w)(?:{pattern})(?!\\w)") if pattern else None

    def pseudonym(self, value: str, kind: str = "x") -> str:
        """A word for ``value`` that nobody can turn back."""
        digest = hmac.new(self._key, value.encode("utf-8", "replace"), hashlib.sha256)
        return f"{kind}-{digest.hexdigest()[:_LENGTH]}"

    def text(self, text: str) -> str:
        """A text of ours without UIDs, addresses and known names."""
        text = _UID.sub(self._uid, text)
        text = _ADDRESS.sub(self._address, text)
        if self._names is not None:
            text = self._names.sub(lambda found: self.pseudonym(found[0]), text)
        return text

    def row(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """A row of a view; columns that are not listed keep only who equals whom."""
        return {name: self._cell(name, value) for name, value in row.items()}

    def _cell(self, name: str, value: object) -> object:
        if not isinstance(value, str) or not value:
            return value if isinstance(value, int | float | None) else str(value)
        if name.endswith("_uid"):
            return self.pseudonym(value, "uid")
        return self.text(value) if name in COLUMNS else self.pseudonym(value)

    def _uid(self, found: re.Match[str]) -> str:
        uid = found[0]
        return uid if uid.startswith(_STANDARD) else self.pseudonym(uid, "uid")

    def _address(self, found: re.Match[str]) -> str:
        address = found[0]
        return address if address in _LOOPBACK else self.pseudonym(address, "ip")


def names_of(config: Config) -> Iterator[str]:
    """Every name in the configuration, and of this machine and its user."""
    yield from (socket.gethostname(), socket.getfqdn(), config.node.ae_title)
    with suppress(KeyError, OSError):
        yield getpass.getuser()
    yield from (config.audit.site_id, config.audit.syslog.host, config.receiver.host)
    for peer in config.peer:
        yield from (peer.ae_title, *peer.hosts)
    for destination in config.destination:
        yield from filter(None, (destination.ae_title, destination.host))
    yield from _of_database(config.worklist_url)


def _of_database(url: str) -> Iterator[str]:
    if url.startswith("sqlite"):
        return
    authority = url.partition("://")[2]
    yield from (part for part in re.split(r"[:/@?&=]", authority) if part)


def configuration(config: Config, scrubber: Scrubber) -> Iterator[str]:
    """The configuration in force, line by line, what may be a name as a pseudonym."""
    from dicomnode.config import shown  # noqa: PLC0415

    for one in shown(config):
        value = one.value
        if one.key not in WORDS:
            value = _QUOTED.sub(lambda text: _hidden(text[1], scrubber), value)
        yield f"{one.table}.{one.key} = {scrubber.text(value)}  # {_source(one.origin)}"


def _hidden(text: str, scrubber: Scrubber) -> str:
    return f'"{scrubber.pseudonym(text)}"' if text else '""'


def _source(origin: str) -> str:
    """Where a value came from, without the paths of the site."""
    kind = origin.partition(" ")[0]
    return (
        kind if kind in {"default", "environment", "credential", "command"} else "file"
    )
