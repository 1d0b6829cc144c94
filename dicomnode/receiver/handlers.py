"""One C-STORE: keep the bytes, record the instance, and only then say Success."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
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
from dicomnode.ports import Buffer, Clock, InstanceStore, Intake
from dicomnode.receiver.header import Header, scan
from dicomnode.receiver.statuses import Status

_LOG = structlog.get_logger(__name__)
_LOGGED_CHARACTERS = 80


@dataclass(frozen=True, slots=True)
class StoreRequest:
    """A C-STORE-RQ (PS3.7 9.3.1.1) with its data set as transmitted."""

    data_set: Buffer
    sop_class_uid: str
    sop_instance_uid: str
    transfer_syntax_uid: str
    calling_ae_title: str
    called_ae_title: str
    address: str


@dataclass(frozen=True, slots=True)
class Answer:
    """The status to answer with; ``comment`` says why it is not Success."""

    status: int
    comment: str = ""


@dataclass(frozen=True, slots=True)
class _Kept:
    key: InstanceKey
    stored: StoredInstance
    disposition: Disposition


class StoreHandler:
    """Answers C-STORE requests; safe for many threads.

    ``extra_keywords``: attributes to record beside ROUTING_KEYWORDS.
    """

    def __init__(
        self,
        store: InstanceStore,
        intake: Intake,
        clock: Clock,
        extra_keywords: Sequence[str] = (),
    ) -> None:
        self._store = store
        self._intake = intake
        self._clock = clock
        self._extra_keywords = tuple(extra_keywords)

    def __call__(self, request: StoreRequest) -> Answer:
        """Keep, record, answer; never raises."""
        began = time.perf_counter()
        try:
            kept = self._keep(request)
        except ReceiveError as error:
            return self._refuse(request, Answer(error.status, str(error)))
        except WorklistError as error:
            comment = f"the worklist cannot record ({error})"
            return self._refuse(request, Answer(Status.PROCESSING_FAILURE, comment))
        except Exception as error:  # noqa: BLE001  # the boundary of every C-STORE
            return self._refuse(request, _failure(error))
        _log_kept(request, kept, time.perf_counter() - began)
        return Answer(Status.SUCCESS)

    def _keep(self, request: StoreRequest) -> _Kept:
        header = scan(
            memoryview(request.data_set),
            request.transfer_syntax_uid,
            self._extra_keywords,
        )
        key = _key(request, header)
        # This order is the promise of 0x0000: on disk, synced, recorded, answered.
        stored = self._store.put(key, (request.data_set,))
        disposition = self._intake.record(self._received(request, header, key, stored))
        return _Kept(key, stored, disposition)

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

    def _refuse(self, request: StoreRequest, answer: Answer) -> Answer:
        _log_refused(request, answer)
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


def _key(request: StoreRequest, header: Header) -> InstanceKey:
    if not (header.study_instance_uid and header.series_instance_uid):
        message = (
            "no Study or Series Instance UID can be read; check the data set and its "
            "transfer syntax at the source, and send it again"
        )
        raise Unreadable(message)
    commanded = _trimmed(request.sop_class_uid), _trimmed(request.sop_instance_uid)
    # A data set that names none takes the names of the command, as its file meta does.
    contained = (
        header.sop_class_uid or commanded[0],
        header.sop_instance_uid or commanded[1],
    )
    if contained != commanded:
        _mismatch("Class" if contained[0] != commanded[0] else "Instance")
    return InstanceKey(
        study_instance_uid=header.study_instance_uid,
        series_instance_uid=header.series_instance_uid,
        sop_instance_uid=commanded[1],
        sop_class_uid=commanded[0],
        transfer_syntax_uid=_trimmed(request.transfer_syntax_uid),
    )


def _mismatch(what: str) -> NoReturn:
    message = (
        f"the SOP {what} UIDs of command and data set differ; correct the instance at "
        "its source and send it again"
    )
    raise ReceiveError(message, Status.DATA_SET_DOES_NOT_MATCH)


def _trimmed(uid: str) -> str:
    # PS3.5 9.1 pads with one NUL; spaces are a common mistake.
    return uid.strip(" \0")


def _failure(error: Exception) -> Answer:
    # Neither message nor arguments: they may quote a value of the data set.
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    where = f"{trace.tb_frame.f_code.co_qualname}:{trace.tb_lineno}" if trace else "?"
    comment = f"{type(error).__name__} in {where}; please report it with the log"
    return Answer(Status.PROCESSING_FAILURE, comment)


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


def _log_refused(request: StoreRequest, answer: Answer) -> None:
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
        n_bytes=memoryview(request.data_set).nbytes,
    )
