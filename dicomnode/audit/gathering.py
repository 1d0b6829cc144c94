"""Many instances or refusals, one message: PS3.15 A.5.3.7 speaks of a set of instances.

A transfer is what one sender gives of one study without a long pause. Its first
instance is audited at once (Begin Transferring), so that a process killed in between
leaves a begun transfer without an end in the trail and not nothing.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from dicomnode.audit import events
from dicomnode.audit.events import AuditedStudy, Ended, Node, Peer
from dicomnode.audit.message import AuditMessage

QUIET = timedelta(seconds=5)
ONE_MINUTE = timedelta(minutes=1)
OPEN = 10_000
"""Transfers, or refused addresses, that are remembered at a time."""


@dataclass(frozen=True, slots=True)
class Arrival:
    """One instance that was kept; ``action`` is C, R or U of PS3.15 A.5.3.7."""

    at: datetime
    study_instance_uid: str
    sop_class_uid: str
    action: str
    patient_id: str
    accession_number: str


@dataclass(slots=True)
class _Transfer:
    first: Arrival
    last_at: datetime
    sop_classes: Counter[str] = field(default_factory=Counter)


class Transfers:
    """A Gatherer of received instances; safe for many threads."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._open: dict[tuple[Peer, str, str, str], _Transfer] = {}
        self._lock = threading.Lock()

    def note(self, peer: Peer, arrival: Arrival) -> AuditMessage | None:
        """Count an instance; the message that a transfer has begun, if it has."""
        key = (peer, arrival.study_instance_uid, arrival.patient_id, arrival.action)
        with self._lock:
            begun = key not in self._open
            transfer = self._open.setdefault(key, _Transfer(arrival, arrival.at))
            transfer.last_at = arrival.at
            transfer.sop_classes[arrival.sop_class_uid] += 1
        if not begun:
            return None
        study = _study(arrival, Counter({arrival.sop_class_uid: 1}))
        return events.transfer_begun(peer, self._node, study, arrival.at)

    def due(self, now: datetime) -> Sequence[AuditMessage]:
        """The transfers that have been quiet, all of them when there are too many."""
        with self._lock:
            crowded = len(self._open) > OPEN
            # A clock that was set back must not keep a transfer open for ever.
            ended = [
                key
                for key, transfer in self._open.items()
                if crowded or abs(now - transfer.last_at) >= QUIET
            ]
            return [self._end(key) for key in ended]

    def rest(self, now: datetime) -> Sequence[AuditMessage]:
        """Every open transfer."""
        del now
        with self._lock:
            return [self._end(key) for key in list(self._open)]

    def _end(self, key: tuple[Peer, str, str, str]) -> AuditMessage:
        transfer = self._open.pop(key)
        study = _study(transfer.first, transfer.sop_classes)
        ended = Ended(transfer.last_at, transfer.first.action)
        return events.transfer_ended(key[0], self._node, study, ended)


def _study(arrival: Arrival, sop_classes: Counter[str]) -> AuditedStudy:
    return AuditedStudy(
        arrival.study_instance_uid,
        arrival.patient_id,
        arrival.accession_number,
        sop_classes,
    )


@dataclass(slots=True)
class _Refused:
    peer: Peer
    text: str
    since: datetime
    n_more: int = 0


class Refusals:
    """A Gatherer of refused associations: one message a minute for each address."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._recent: dict[str, _Refused] = {}
        self._lock = threading.Lock()

    def note(self, peer: Peer, text: str, at: datetime) -> AuditMessage | None:
        """The message about a refusal, unless its address was refused just now."""
        with self._lock:
            known = self._recent.get(peer.address)
            if known is not None:
                known.n_more += 1
                return None
            if len(self._recent) < OPEN:
                self._recent[peer.address] = _Refused(peer, text, at)
        return events.node_refused(self._node, peer, text, at)

    def due(self, now: datetime) -> Sequence[AuditMessage]:
        """How often each address was refused in its minute, if more than once."""
        with self._lock:
            over = [
                address
                for address, one in self._recent.items()
                if abs(now - one.since) >= ONE_MINUTE
            ]
            return self._forget(over, now)

    def rest(self, now: datetime) -> Sequence[AuditMessage]:
        """The same at the end of the process."""
        with self._lock:
            return self._forget(list(self._recent), now)

    def _forget(self, addresses: list[str], now: datetime) -> list[AuditMessage]:
        over = [self._recent.pop(address) for address in addresses]
        return [
            events.node_refused(
                self._node, one.peer, f"{one.text} ({one.n_more} times more)", now
            )
            for one in over
            if one.n_more
        ]
