"""One C-STORE: keep the bytes, record the instance, and only then say Success."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import NoReturn

import structlog

from dicomnode.domain.association import Refusal
from dicomnode.domain.instance import (
    Disposition,
    InstanceKey,
    ReceivedInstance,
    StoredInstance,
)
from dicomnode.errors import ReceiveError, Unreadable, WorklistError
from dicomnode.ports import Clock, Incoming, InstanceStore, Intake, Staging
from dicomnode.receiver.arrival import Arrival
from dicomnode.receiver.header import Header, scan, scan_start
from dicomnode.receiver.requests import Answer, Limits, StoreRequest
from dicomnode.receiver.statuses import Status

_LOG = structlog.get_logger(__name__)
_LOGGED_CHARACTERS = 80
_SET_ASIDE = {Status.DATA_SET_DOES_NOT_MATCH, Status.CANNOT_UNDERSTAND}


_Put = Callable[[InstanceKey], StoredInstance]


@dataclass(frozen=True, slots=True)
class _Kept:
    key: InstanceKey
    stored: StoredInstance
    disposition: Disposition


class StoreHandler:
    """Answers C-STORE requests; safe for many threads.

    ``extra_keywords``: attributes to record beside ROUTING_KEYWORDS. ``quarantine``: a
    data set that names no study, or another instance than its command, is set aside
    where the store can do so.
    """

    def __init__(
        self,
        store: InstanceStore,
        intake: Intake,
        clock: Clock,
        extra_keywords: Sequence[str] = (),
        limits: Limits | None = None,
        quarantine: bool = False,
    ) -> None:
        self._store = store
        self._staging = store if isinstance(store, Staging) else None
        self._intake = intake
        self._clock = clock
        self.extra_keywords = tuple(extra_keywords)
        self._limits = limits or Limits()
        self._quarantine = quarantine

    @property
    def limits(self) -> Limits:
        """What an instance and an association may bring."""
        return self._limits

    def __call__(self, request: StoreRequest, n_bytes_before: int = 0) -> Answer:
        """Keep, record, answer; never raises.

        ``n_bytes_before``: of data sets that this association has sent already.
        """
        n_bytes = memoryview(request.data_set).nbytes

        def keep() -> _Kept:
            self._limits.check(n_bytes, n_bytes_before + n_bytes)
            header = scan(
                request.data_set, request.transfer_syntax_uid, self.extra_keywords
            )
            return self._keep(request, header, self._put(request))

        answer, log = self._settled(
            request, n_bytes, keep, lambda: self._copied(request)
        )
        log()
        return answer

    def begin(self, request: StoreRequest, n_bytes_before: int = 0) -> Arrival | None:
        """A C-STORE whose data set is to come; None if the store takes only wholes."""
        if self._staging is None:
            return None
        return Arrival(self, self._staging, request, n_bytes_before)

    def finish(
        self, request: StoreRequest, incoming: Incoming
    ) -> tuple[Answer, Callable[[], None]]:
        """Keep what has arrived, record, answer; never raises.

        And the log line, to be written when the answer is on its way.
        """

        def keep() -> _Kept:
            return self._keep(request, self._scanned(request, incoming), incoming.keep)

        return self._settled(request, incoming.n_bytes, keep, lambda: incoming)

    def refuse(self, request: StoreRequest, answer: Answer, n_bytes: int) -> Answer:
        """Make a refusal visible; never raises."""
        _log_refused(request, answer, n_bytes)
        refusal = Refusal(
            at=self._clock.now(),
            calling_ae_title=request.calling_ae_title,
            address=request.address,
            sop_class_uid=request.sop_class_uid,
            sop_instance_uid=request.sop_instance_uid,
            status=int(answer.status),
            reason=answer.comment,
        )
        try:
            self._intake.record_refusal(refusal)
        except WorklistError as error:
            _LOG.warning("receiver.refusal_not_recorded", error=str(error))
        return answer

    def guarded(self, action: Callable[[], None]) -> Answer | None:
        """Do a part of a C-STORE; if that fails the answer to it, never an error."""
        try:
            action()
        except ReceiveError as error:
            return Answer(error.status, str(error))
        except WorklistError as error:
            comment = f"the worklist cannot record ({error})"
            return Answer(Status.PROCESSING_FAILURE, comment)
        except Exception as error:  # noqa: BLE001  # the boundary of every C-STORE
            return _failure(error)
        return None

    def _settled(
        self,
        request: StoreRequest,
        n_bytes: int,
        keep: Callable[[], _Kept],
        incoming: Callable[[], Incoming],
    ) -> tuple[Answer, Callable[[], None]]:
        began = time.perf_counter()
        kept: list[_Kept] = []
        if failed := self.guarded(lambda: kept.append(keep())):
            refused = self._set_aside(failed, incoming)
            return self.refuse(request, refused, n_bytes), _nothing_more
        seconds = time.perf_counter() - began
        return Answer(Status.SUCCESS), partial(_log_kept, request, kept[0], seconds)

    def _scanned(self, request: StoreRequest, incoming: Incoming) -> Header:
        how = request.transfer_syntax_uid, self.extra_keywords
        header = scan_start(incoming.head, *how)
        if header is not None:
            return header
        with incoming.content() as data_set:
            return scan(data_set, *how)

    def _keep(self, request: StoreRequest, header: Header, put: _Put) -> _Kept:
        key = _key(request, header)
        # This order is the promise of 0x0000: on disk, synced, recorded, answered.
        stored = put(key)
        disposition = self._intake.record(self._received(request, header, key, stored))
        return _Kept(key, stored, disposition)

    def _put(self, request: StoreRequest) -> _Put:
        return lambda key: self._store.put(key, (request.data_set,))

    def _copied(self, request: StoreRequest) -> Incoming:
        if self._staging is None:
            raise ReceiveError("the store has no place for refused data sets")
        incoming = self._staging.stage(request.commanded)
        incoming.write((request.data_set,))
        return incoming

    def _set_aside(self, failed: Answer, incoming: Callable[[], Incoming]) -> Answer:
        """Keep a refused data set for a look at it, if configured; says where."""
        if not self._quarantine or failed.status not in _SET_ASIDE:
            return failed
        names: list[str] = []
        self.guarded(lambda: names.append(incoming().set_aside()))
        where = f"set aside as {names[0]}" if names else "it could not be set aside"
        return replace(failed, comment=f"{failed.comment}; {where}")

    def _received(
        self,
        request: StoreRequest,
        header: Header,
        key: InstanceKey,
        stored: StoredInstance,
    ) -> ReceivedInstance:
        return ReceivedInstance(
            key=key,
            stored=stored,
            received_at=self._clock.now(),
            calling_ae_title=request.calling_ae_title,
            called_ae_title=request.called_ae_title,
            address=request.address,
            attributes=header.attributes,
            identity=header.identity,
        )


def _key(request: StoreRequest, header: Header) -> InstanceKey:
    if not (header.study_instance_uid and header.series_instance_uid):
        message = (
            "no Study or Series Instance UID can be read; check the data set and its "
            "transfer syntax at the source, and send it again"
        )
        raise Unreadable(message)
    key = request.commanded
    named = key.sop_class_uid, key.sop_instance_uid
    # A data set that names none takes the names of the command, as its file meta does.
    contained = (
        header.sop_class_uid or named[0],
        header.sop_instance_uid or named[1],
    )
    if contained != named:
        _mismatch("Class" if contained[0] != named[0] else "Instance")
    return replace(
        key,
        study_instance_uid=header.study_instance_uid,
        series_instance_uid=header.series_instance_uid,
    )


def _mismatch(what: str) -> NoReturn:
    message = (
        f"the SOP {what} UIDs of command and data set differ; correct the instance at "
        "its source and send it again"
    )
    raise ReceiveError(message, Status.DATA_SET_DOES_NOT_MATCH)


def _failure(error: Exception) -> Answer:
    # Neither message nor arguments: they may quote a value of the data set.
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    where = f"{trace.tb_frame.f_code.co_qualname}:{trace.tb_lineno}" if trace else "?"
    comment = f"{type(error).__name__} in {where}; please report it with the log"
    return Answer(Status.PROCESSING_FAILURE, comment)


def _nothing_more() -> None:
    """A refusal is in the log before it is told."""


def _log_kept(request: StoreRequest, kept: _Kept, seconds: float) -> None:
    _LOG.info(
        "receiver.c_store",
        status=f"0x{Status.SUCCESS:04X}",
        outcome=str(kept.disposition),
        calling_ae_title=request.calling_ae_title,
        address=request.address,
        study_instance_uid=kept.key.study_instance_uid,
        sop_instance_uid=kept.key.sop_instance_uid,
        sop_class_uid=kept.key.sop_class_uid,
        transfer_syntax_uid=kept.key.transfer_syntax_uid,
        n_bytes=kept.stored.n_bytes,
        seconds=round(seconds, 6),
    )


def _log_refused(request: StoreRequest, answer: Answer, n_bytes: int) -> None:
    _LOG.warning(
        "receiver.c_store",
        outcome="refused",
        status=f"0x{answer.status:04X}",
        reason=answer.comment,
        calling_ae_title=request.calling_ae_title,
        address=request.address,
        # The command's UIDs are the sender's text and may be anything.
        sop_instance_uid=request.sop_instance_uid[:_LOGGED_CHARACTERS],
        sop_class_uid=request.sop_class_uid[:_LOGGED_CHARACTERS],
        transfer_syntax_uid=request.transfer_syntax_uid,
        n_bytes=n_bytes,
    )
