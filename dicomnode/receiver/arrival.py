"""One C-STORE while its data set comes in."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from dicomnode.ports import Incoming, Staging
from dicomnode.receiver.requests import Answer, Limits, StoreRequest


class Settlement(Protocol):
    """Who decides on what has arrived: the C-STORE handler."""

    @property
    def limits(self) -> Limits:
        """What an instance and an association may bring."""
        ...

    def guarded(self, action: Callable[[], None]) -> Answer | None:
        """Do a part of a C-STORE; if that fails the answer to it, never an error."""
        ...

    def finish(
        self, request: StoreRequest, incoming: Incoming
    ) -> tuple[Answer, Callable[[], None]]:
        """Keep what has arrived, record, answer; then the log line. Never raises."""
        ...

    def refuse(self, request: StoreRequest, answer: Answer, n_bytes: int) -> Answer:
        """Make a refusal visible; never raises."""
        ...


class Arrival:
    """Goes straight to the store; no method raises. Used by one thread.

    Once refused, the rest of the data set is only counted: the answer follows its end
    (PS3.7 9.3.1.1), and neither memory nor disk is used for it.
    """

    def __init__(
        self,
        handler: Settlement,
        staging: Staging,
        request: StoreRequest,
        n_bytes_before: int,
    ) -> None:
        self._handler = handler
        self._staging = staging
        self._request = request
        self._n_bytes_before = n_bytes_before
        self._incoming: Incoming | None = None
        self._refusal: Answer | None = None
        self._log: Callable[[], None] | None = None
        self.n_bytes = 0
        self._do(self._begin)

    @property
    def is_refused(self) -> bool:
        """Whether nothing of it is kept, whatever comes."""
        return self._refusal is not None

    def write(self, fragments: Sequence[memoryview]) -> None:
        """Take fragments of the data set, as bytes that lie elsewhere."""
        self.n_bytes += sum(map(len, fragments))
        self._do(lambda: self._write(fragments))

    def finish(self) -> Answer:
        """The data set is complete: keep, record, answer."""
        if self._refusal is not None:
            return self._handler.refuse(self._request, self._refusal, self.n_bytes)
        answer, self._log = self._handler.finish(self._request, self._taken)
        return answer

    def log(self) -> None:
        """The answer is on its way: write the line that nobody should wait for."""
        if self._log is not None:
            self._log()

    def so_far(self) -> bytes:
        """What has come of a data set that is not refused."""
        found: list[bytes] = []
        self._do(lambda: found.append(self._read()))
        return b"".join(found)

    def discard(self) -> None:
        """Leave nothing of what has not been kept."""
        if self._incoming is not None:
            self._incoming.discard()

    @property
    def _taken(self) -> Incoming:
        if self._incoming is None:
            raise AssertionError("it is refused")
        return self._incoming

    def _do(self, action: Callable[[], None]) -> None:
        if self._refusal is None:
            self._refusal = self._handler.guarded(action)
            if self._refusal is not None:
                self.discard()

    def _begin(self) -> None:
        self._handler.limits.check(0, self._n_bytes_before)
        self._incoming = self._staging.stage(self._request.commanded)

    def _write(self, fragments: Sequence[memoryview]) -> None:
        n_in_all = self._n_bytes_before + self.n_bytes
        self._handler.limits.check(self.n_bytes, n_in_all)
        self._taken.write(fragments)

    def _read(self) -> bytes:
        with self._taken.content() as data_set:
            return bytes(data_set)
