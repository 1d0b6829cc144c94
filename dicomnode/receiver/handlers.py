"""One C-STORE: keep the bytes, record the instance, and only then say Success."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import NoReturn

import structlog

from dicomnode.domain.association import Refusal
from dicomnode.domain.instance import (
    Disposition,
    InstanceKey,
    ReceivedInstance,
    StoredInstance,
)
from dicomnode.errors import ReceiveError, StoreFull, Unreadable, WorklistError
from dicomnode.ports import (
    Buffer,
    Clock,
    Incoming,
    InstanceStore,
    Intake,
    Staging,
)
from dicomnode.receiver.header import Header, scan
from dicomnode.receiver.statuses import Status

_LOG = structlog.get_logger(__name__)
_LOGGED_CHARACTERS = 80
_COMMENT_CHARACTERS = 64
_SET_ASIDE = {Status.DATA_SET_DOES_NOT_MATCH, Status.CANNOT_UNDERSTAND}


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

    @property
    def short_comment(self) -> str:
        """PS3.7 C: Error Comment, a LO of 64 characters in the default repertoire."""
        plain = self.comment.encode("ascii", "replace").decode().replace("\\", "/")
        return plain[:_COMMENT_CHARACTERS]


@dataclass(frozen=True, slots=True)
class Limits:
    """Data set bytes of one instance, and of all of one association."""

    max_instance_bytes: int = 4 << 30
    max_association_bytes: int = 1 << 40

    def check(self, n_instance_bytes: int, n_association_bytes: int) -> None:
        """Raise StoreFull beyond a limit."""
        for name, n_bytes in (
            ("max_instance_bytes", n_instance_bytes),
            ("max_association_bytes", n_association_bytes),
        ):
            limit: int = getattr(self, name)
            if n_bytes > limit:
                message = f"too large; raise receiver.{name} = {limit}"
                raise StoreFull(message)


@dataclass(frozen=True, slots=True)
class _Kept:
    key: InstanceKey
    stored: StoredInstance
    disposition: Disposition


Keep = Callable[[InstanceKey], StoredInstance]


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
        self._extra_keywords = tuple(extra_keywords)
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
        began, n_bytes = time.perf_counter(), memoryview(request.data_set).nbytes
        kept: list[_Kept] = []

        def keep() -> None:
            self._limits.check(n_bytes, n_bytes_before + n_bytes)
            kept.append(self._keep(request))

        if failed := self._guarded(keep):
            return self._refuse(request, self._aside(request, failed), n_bytes)
        _log_kept(request, kept[0], time.perf_counter() - began)
        return Answer(Status.SUCCESS)

    def begin(self, request: StoreRequest, n_bytes_before: int = 0) -> Arrival | None:
        """A C-STORE whose data set is to come; None if the store takes only wholes."""
        if self._staging is None:
            return None
        return Arrival(self, self._staging, request, n_bytes_before)

    def _guarded(self, action: Callable[[], None]) -> Answer | None:
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

    def _keep(self, request: StoreRequest, incoming: Incoming | None = None) -> _Kept:
        header = scan(
            memoryview(request.data_set),
            request.transfer_syntax_uid,
            self._extra_keywords,
        )
        key = _key(request, header)
        # This order is the promise of 0x0000: on disk, synced, recorded, answered.
        if incoming is None:
            stored = self._store.put(key, (request.data_set,))
        else:
            stored = incoming.keep(key)
        disposition = self._intake.record(self._received(request, header, key, stored))
        return _Kept(key, stored, disposition)

    def _aside(
        self, request: StoreRequest, failed: Answer, incoming: Incoming | None = None
    ) -> Answer:
        """Keep a refused data set for a look at it, if configured; says so."""
        if not (self._quarantine and self._staging and failed.status in _SET_ASIDE):
            return failed
        staging, names = self._staging, list[str]()

        def set_aside() -> None:
            taken = incoming
            if taken is None:
                taken = staging.stage(_commanded(request))
                taken.write((request.data_set,))
            names.append(taken.set_aside())

        self._guarded(set_aside)
        where = f"; set aside as {names[0]}" if names else "; it could not be set aside"
        return replace(failed, comment=failed.comment + where)

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

    def _refuse(self, request: StoreRequest, answer: Answer, n_bytes: int) -> Answer:
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


class Arrival:
    """One C-STORE while its data set comes in; no method raises. Used by one thread."""

    def __init__(
        self,
        handler: StoreHandler,
        staging: Staging,
        request: StoreRequest,
        n_bytes_before: int,
    ) -> None:
        self._handler = handler
        self._request = request
        self._n_bytes_before = n_bytes_before
        self._incoming: Incoming | None = None
        self.n_bytes = 0

        def stage() -> None:
            handler.limits.check(0, n_bytes_before)
            self._incoming = staging.stage(_commanded(request))

        self._failed = handler._guarded(stage)

    @property
    def is_refused(self) -> bool:
        """Whether nothing of it is kept, whatever comes."""
        return self._failed is not None

    def write(self, fragments: Sequence[Buffer]) -> None:
        """Take fragments of the data set; of a refused one they are only counted."""
        self.n_bytes += sum(map(len, fragments))
        incoming = self._incoming
        if incoming is None or self.is_refused:
            return

        def write() -> None:
            self._handler.limits.check(
                self.n_bytes, self._n_bytes_before + self.n_bytes
            )
            incoming.write(fragments)

        self._failed = self._handler._guarded(write)
        if self.is_refused:
            self.discard()

    def finish(self) -> Answer:
        """The data set is complete: keep, record, answer."""
        began = time.perf_counter()
        kept: list[_Kept] = []

        def keep() -> None:
            with incoming.content() as data_set:
                whole = replace(self._request, data_set=data_set)
                kept.append(self._handler._keep(whole, incoming))

        incoming = self._incoming
        if incoming is not None and not self._failed:
            failed = self._handler._guarded(keep)
            self._failed = failed and self._handler._aside(
                self._request, failed, incoming
            )
        if self._failed:
            return self._handler._refuse(self._request, self._failed, self.n_bytes)
        _log_kept(self._request, kept[0], time.perf_counter() - began)
        return Answer(Status.SUCCESS)

    def so_far(self) -> bytes:
        """What has come of a data set that is not refused."""
        found: list[bytes] = []

        def read() -> None:
            if self._incoming is not None:
                with self._incoming.content() as data_set:
                    found.append(bytes(data_set))

        self._failed = self._handler._guarded(read)
        return b"".join(found)

    def discard(self) -> None:
        """Leave nothing of what has not been kept."""
        if self._incoming is not None:
            self._incoming.discard()


def _commanded(request: StoreRequest) -> InstanceKey:
    """What the command says, before study and series are known."""
    return InstanceKey(
        study_instance_uid="",
        series_instance_uid="",
        sop_instance_uid=_trimmed(request.sop_instance_uid),
        sop_class_uid=_trimmed(request.sop_class_uid),
        transfer_syntax_uid=_trimmed(request.transfer_syntax_uid),
    )


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
