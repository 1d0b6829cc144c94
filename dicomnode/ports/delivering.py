"""The views of delivery: what waits, who sends it, who keeps it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from dicomnode.domain.commitment import Asked, Check, CommitmentAnswer, Unconfirmed
from dicomnode.domain.delivery import Accepted, Delivery, NewResult, Outgoing, Sent


class Absences(Protocol):
    """Destinations that cannot be reached; everything for one waits together."""

    def absent(
        self, destination: str, error: str, delays: Sequence[float], now: datetime
    ) -> None:
        """Note an attempt in vain: nothing for it is due before the next one."""
        ...

    def present(self, destination: str, now: datetime) -> None:
        """It has answered: what waits for it is due as if it had never been away."""
        ...

    def try_now(self, destination: str, now: datetime, by: str = "") -> bool:
        """Try it at once, with the delays from their beginning; False: not away."""
        ...


class Outbox(Absences, Protocol):
    """The view of delivery."""

    def due(
        self, destination: str, now: datetime, lease_seconds: float, limit: int
    ) -> Sequence[Delivery]:
        """Claim PENDING deliveries whose time has come, the oldest first.

        A claimed delivery is not given out again before its lease ends. Of a
        destination that is absent nothing is due before its next attempt, and then
        one delivery.
        """
        ...

    def put_back(self, untried: Sequence[Delivery]) -> None:
        """End the claim of deliveries that were not tried."""
        ...

    def sent(
        self,
        delivery: Delivery,
        status: int,
        now: datetime,
        check_at: datetime | None = None,
    ) -> None:
        """PENDING -> SENT with the DIMSE status (0x0000 or a warning).

        ``check_at``: when to find out whether the destination keeps it; None: never.
        """
        ...

    def accepted(self, answers: Sequence[Accepted]) -> None:
        """`sent` for all of a round at once."""
        ...

    def postpone(
        self,
        delivery: Delivery,
        status: int | None,
        error: str,
        retry_at: datetime | None,
        now: datetime,
    ) -> None:
        """Count an attempt: PENDING until ``retry_at``, or FAILED if None."""
        ...

    def fall_back(self, delivery: Delivery, result: NewResult, now: datetime) -> None:
        """PENDING -> PENDING: ``result``, which is in the store, goes out instead."""
        ...

    def replace(self, delivery: Delivery, error: str, now: datetime) -> bool:
        """PENDING -> CANCELED if another result of the job carries the report there.

        False, and nothing has changed, if none does.
        """
        ...


class CommitmentAnswers(Protocol):
    """Who takes the answers of destinations, from whichever association."""

    def answer(self, answer: CommitmentAnswer, now: datetime) -> bool:
        """Note what a destination answers; False for a transaction we do not know.

        The same answer again changes nothing, and a promise counts however late it
        comes. A failure counts only while its transaction is the latest.
        """
        ...


class Commitments(CommitmentAnswers, Protocol):
    """The view of who finds out whether destinations keep what was sent to them."""

    def unconfirmed(
        self, destination: str, now: datetime, lease_seconds: float, limit: int
    ) -> Sequence[Unconfirmed]:
        """Claim SENT deliveries whose check is due, the longest waiting first.

        Of a destination that is absent as few as ``Outbox.due`` gives.
        """
        ...

    def put_back(self, unasked: Sequence[Unconfirmed]) -> None:
        """End the claim of deliveries about which nothing could be found out."""
        ...

    def asked(self, asked: Asked, about: Sequence[Unconfirmed]) -> None:
        """Note a transaction before it is sent: its answer may overtake us."""
        ...

    def verified(
        self, one: Unconfirmed, then: Check | None, check_at: datetime, now: datetime
    ) -> None:
        """The destination shows it by C-FIND; ``then`` is checked at ``check_at``."""
        ...

    def recheck(
        self, one: Unconfirmed, then: Check | None, error: str, at: datetime
    ) -> None:
        """Nothing was found out, and that is no failure: ``then`` at ``at``."""
        ...

    def unanswered(
        self, one: Unconfirmed, error: str, check_at: datetime, now: datetime
    ) -> None:
        """Count a check in vain: ask again at ``check_at``."""
        ...

    def lost(
        self, one: Unconfirmed, error: str, retry_at: datetime | None, now: datetime
    ) -> None:
        """SENT -> PENDING until ``retry_at``, to be sent again; None: REJECTED."""
        ...


class Sender(Protocol):
    """One destination's C-STORE SCU (or STOW-RS client)."""

    def send(self, instances: Sequence[Outgoing]) -> Sequence[Sent]:
        """Send over one association, in order; one answer for each.

        Raises Unreachable when no association came about.
        """
        ...

    def echo(self) -> float:
        """Verification (PS3.4 A): round-trip seconds; raises Unreachable, Refused."""
        ...
