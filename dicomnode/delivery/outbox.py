"""Outbox to destination: claim what is due, send, note the answer."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryFile
from typing import BinaryIO

import structlog

from dicomnode.delivery import fallback, outgoing, statuses
from dicomnode.domain.delivery import (
    NOT_SUPPORTED,
    Accepted,
    Delivery,
    Outgoing,
    Sent,
)
from dicomnode.domain.retry import next_attempt_at
from dicomnode.errors import DeliveryError
from dicomnode.ports import Clock, InstanceStore, Outbox, Sender

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """Delays after each failed attempt, and how long a claim protects a delivery.

    ``confirm``: whether to find out, once it is sent, that the destination keeps it.
    """

    retry_seconds: Sequence[float]
    lease_seconds: float = 300.0
    batch: int = 32
    confirm: bool = False


class Courier:
    """Delivers the results of the outbox to one destination."""

    def __init__(
        self,
        destination: str,
        outbox: Outbox,
        results: InstanceStore,
        sender: Sender,
        clock: Clock,
        policy: RetryPolicy,
    ) -> None:
        self.destination = destination
        self._outbox = outbox
        self._results = results
        self._sender = sender
        self._clock = clock
        self._policy = policy

    def run_once(self) -> int:
        """Send what is due over one association; how many deliveries were tried."""
        due = self._outbox.due(
            self.destination,
            self._clock.now(),
            self._policy.lease_seconds,
            self._policy.batch,
        )
        if due:
            self._deliver(due)
        return len(due)

    def _deliver(self, due: Sequence[Delivery]) -> None:
        with ExitStack() as spool:
            ready = [
                (delivery, file)
                for delivery in due
                if (file := self._fetch(delivery, spool)) is not None
            ]
            if ready:
                self._send(ready)

    def _fetch(self, delivery: Delivery, spool: ExitStack) -> Outgoing | None:
        try:
            source = spool.enter_context(self._results.open(delivery.location))
            return outgoing.read(Path(f"/dev/fd/{_on_disk(source, spool)}"))
        except (OSError, DeliveryError) as error:
            message = (
                f"the stored result cannot be read ({error}); restore it, then retry"
            )
            lost = isinstance(error, (FileNotFoundError, DeliveryError))
            self._note_failure(delivery, None, message, permanent=lost)
            return None

    def _send(self, ready: Sequence[tuple[Delivery, Outgoing]]) -> None:
        try:
            answers = self._sender.send([file for _, file in ready])
        except DeliveryError as error:
            # Nothing has been said about any result: none of them has had a try.
            self._absent(str(error), [delivery for delivery, _ in ready])
            return
        self._tell_presence(answers)
        self._note_accepted([delivery for delivery, _ in ready], answers)
        untried: list[Delivery] = []
        for (delivery, file), answer in zip(ready, answers, strict=True):
            if answer.accepted:
                continue
            if not answer.tried:
                untried.append(delivery)
            elif answer.status != NOT_SUPPORTED or not self._fell_back(
                delivery, file, answer.error
            ):
                self._note_refused(delivery, answer)
        self._outbox.put_back(untried)

    def _tell_presence(self, answers: Sequence[Sent]) -> None:
        now = self._clock.now()
        if any(answer.status is not None for answer in answers):
            self._outbox.present(self.destination, now)
        else:
            # It takes associations and answers nothing.
            self._absent(answers[0].error, [])

    def _absent(self, error: str, untried: Sequence[Delivery]) -> None:
        delays = self._policy.retry_seconds
        # First: what is put back must not be claimed before the destination is held.
        self._outbox.absent(self.destination, error, delays, self._clock.now())
        self._outbox.put_back(untried)
        _log.info("delivery.absent", destination=self.destination, reason=error)

    def _fell_back(self, delivery: Delivery, file: Outgoing, error: str) -> bool:
        """Whether the report goes out another way than by this refused SOP class."""
        now = self._clock.now()
        instead = fallback.lesser(delivery, file.path, self._results)
        if instead is not None:
            self._outbox.fall_back(delivery, instead, now)
        elif not self._outbox.replace(delivery, error, now):
            return False
        self._say(delivery, "fell_back" if instead else "replaced", NOT_SUPPORTED)
        return True

    def _note_accepted(
        self, deliveries: Sequence[Delivery], answers: Sequence[Sent]
    ) -> None:
        """All of a round with one commit."""
        accepted = [
            self._accepted(delivery, answer.status, answer.sent_at)
            for delivery, answer in zip(deliveries, answers, strict=True)
            if answer.accepted and answer.status is not None
        ]
        if accepted:
            self._outbox.accepted(accepted)
        for one in accepted:
            self._say(one.delivery, "sent", one.status)

    def _accepted(
        self, delivery: Delivery, status: int, sent_at: datetime | None
    ) -> Accepted:
        # When it answered, which was before the others of this round were sent.
        sent_at = sent_at or self._clock.now()
        return Accepted(
            delivery, status, sent_at, sent_at if self._policy.confirm else None
        )

    def _note_refused(self, delivery: Delivery, answer: Sent) -> None:
        permanent = not statuses.is_retryable(answer.status)
        self._note_failure(delivery, answer.status, answer.error, permanent=permanent)

    def _note_failure(
        self, delivery: Delivery, status: int | None, error: str, *, permanent: bool
    ) -> None:
        now = self._clock.now()
        delays = () if permanent else self._policy.retry_seconds
        retry_at = next_attempt_at(delivery.attempts + 1, delays, now)
        self._outbox.postpone(delivery, status, error, retry_at, now)
        self._say(delivery, "failed" if retry_at is None else "postponed", status)

    def _say(self, delivery: Delivery, event: str, status: int | None) -> None:
        _log.info(
            f"delivery.{event}",
            job_id=delivery.job_id,
            destination=delivery.destination,
            result_kind=delivery.result_kind,
            sop_instance_uid=delivery.sop_instance_uid,
            status=None if status is None else f"0x{status:04X}",
            attempts=delivery.attempts + 1,
        )


def _on_disk(source: BinaryIO, spool: ExitStack) -> int:
    """A descriptor of the file itself, or of a copy where it lies in memory."""
    try:
        return source.fileno()
    except OSError:
        # It has no name that could outlive us, however we end.
        copy = spool.enter_context(TemporaryFile())  # noqa: SIM115  # it does
        shutil.copyfileobj(source, copy)
        copy.flush()
        return copy.fileno()
