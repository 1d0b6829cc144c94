"""What the pages need of the node, as plain values and small functions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Literal, Protocol

from fastapi import Depends, Request

from dicomnode.domain.instance import Instance
from dicomnode.health.problems import Snapshot
from dicomnode.ports import Backfills, Clock, Desk, Holds
from dicomnode.views import Views
from dicomnode.web.access import Accounts
from dicomnode.web.attempts import Attempts
from dicomnode.web.cards import Card

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

Metrics = Literal["loopback", "account", "anyone"]


@dataclass(frozen=True, slots=True)
class Peer:
    """Who may talk to us."""

    ae_title: str
    hosts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Destination:
    """Where results go."""

    name: str
    ae_title: str
    host: str
    port: int


@dataclass(frozen=True, slots=True)
class Pipeline:
    """Which bundle looks at which studies."""

    name: str
    bundle: str
    mode: str
    destinations: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Site:
    """What the configuration says, as far as pages show it; no secret is in it.

    ``tls_port`` is 0 where encryption is off.
    """

    ae_title: str
    host: str
    port: int
    tls_port: int = 0
    peers: tuple[Peer, ...] = ()
    destinations: tuple[Destination, ...] = ()
    pipelines: tuple[Pipeline, ...] = ()


@dataclass(frozen=True, slots=True)
class Who:
    """Who asks: the account's name, and the address of the browser."""

    name: str
    address: str


class Witness(Protocol):
    """Who notes in the audit trail (PS3.15 A.5) what people do on the pages."""

    def acted(self, who: Who, act: str, about: str) -> None:
        """An account has used a verb on a job, a study or a destination."""
        ...

    def shown(self, who: Who, study_instance_uid: str) -> None:
        """An account has read the report of a study."""
        ...

    def signed_in(self, who: Who, error: str = "") -> None:
        """Somebody has signed in; ``error``: why it failed."""
        ...

    def signed_out(self, who: Who) -> None:
        """Somebody has signed out."""
        ...


@dataclass(frozen=True, slots=True)
class Room:
    """Everything behind the pages.

    ``look`` says how the node stands; ``cards`` what the pipelines' bundles say of
    themselves; ``audit`` gives the last entries of the audit trail in words without
    patient identity, the newest first, and notes who has read them; ``purge`` removes
    a study for a reason and gives the number of its files, or raises UnknownStudy or
    IllegalTransition; ``results`` gives the objects of a job, or raises UnknownStudy;
    ``instances`` gives those of a study whose files are here;
    ``echo`` asks a destination for Verification and gives the round trip in seconds,
    or raises DeliveryError; ``metrics`` is whom /metrics answers beside accounts;
    ``most_streams`` how many readers may follow the feed at once.
    """

    site: Site
    accounts: Accounts
    views: Views
    desk: Desk
    holds: Holds
    backfills: Backfills
    witness: Witness
    clock: Clock
    look: Callable[[], Snapshot]
    results: Callable[[str], Sequence[Dataset]]
    instances: Callable[[str], Sequence[Instance]]
    cards: Callable[[], Sequence[Card]]
    audit: Callable[[Who, int], Sequence[str]]
    purge: Callable[[Who, str, str], int]
    echo: Callable[[str], float]
    metrics: Metrics = "loopback"
    most_streams: int = 100
    attempts: Attempts = field(default_factory=Attempts)


def room_of(request: Request) -> Room:
    """The room that the application was created with."""
    room: Room = request.app.state.room
    return room


InRoom = Annotated[Room, Depends(room_of)]
