"""The C-STORE and C-ECHO service class user (PS3.4 B, A)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from time import perf_counter

from pydicom import dcmread
from pydicom.dataset import Dataset
from pynetdicom import _config, build_context
from pynetdicom.association import Association
from pynetdicom.presentation import PresentationContext
from pynetdicom.sop_class import Verification  # type: ignore[attr-defined]

from dicomnode.delivery import contexts, statuses
from dicomnode.delivery.associating import Peer, associated, is_alive
from dicomnode.delivery.standing import Standing
from dicomnode.domain.delivery import NOT_SUPPORTED, Outgoing, Sent
from dicomnode.errors import NothingAccepted, Refused, Unreachable
from dicomnode.ports import Clock

__all__ = ["Peer", "StorageScu"]

# pynetdicom's documented switch: send a file's data set byte for byte, in chunks,
# instead of decoding and encoding it again.
_config.STORE_SEND_CHUNKED_DATASET = True


def verification() -> list[PresentationContext]:
    """The context of an association that only asks for C-ECHO."""
    return [build_context(Verification)]


class StorageScu:
    """The Sender port over DIMSE; one association for each call of ``send``.

    ``idle_seconds``: so long it stays open for the next call, which then uses it.
    """

    def __init__(self, peer: Peer, clock: Clock, idle_seconds: float = 0) -> None:
        self.peer = peer
        self._clock = clock
        self._standing = Standing(peer, idle_seconds)

    def close(self) -> None:
        """End an association that is still open."""
        self._standing.close()

    def prepare(self) -> None:
        """There will be something to send in a moment: have an association open.

        Never fails; it does nothing without ``idle_seconds``.
        """
        self._standing.prepare()

    def send(self, instances: Sequence[Outgoing]) -> Sequence[Sent]:
        """C-STORE each instance, in order; one answer for each.

        Raises Unreachable when no association came about.
        """
        return list(self.send_each(instances))

    def send_each(self, instances: Sequence[Outgoing]) -> Iterator[Sent]:
        """Like ``send``, each answer as it comes."""
        for number, group in enumerate(contexts.groups(instances)):
            try:
                yield from self._send_group(group)
            except Unreachable as error:
                if number == 0:
                    raise
                # The answers given so far stand; the others are tried again.
                yield from (self._untried(one, str(error)) for one in group)

    def echo(self) -> float:
        """C-ECHO (PS3.4 A.4): round-trip in seconds.

        Raises Unreachable, or Refused for a status other than Success.
        """
        with associated(self.peer, verification()) as association:
            start = perf_counter()
            status = _status_of(association.send_c_echo())
            elapsed = perf_counter() - start
        if status is None:
            raise Unreachable(f"{self.peer} gave no answer to C-ECHO; check its log")
        if status != 0x0000:
            raise Refused(f"{self.peer}: {statuses.explain(status)}", status)
        return elapsed

    def _send_group(self, group: Sequence[Outgoing]) -> Iterator[Sent]:
        keys = list(dict.fromkeys(k for one in group for k in contexts.keys_of(one)))
        rest = list(group)
        try:
            if self._standing.is_open_for(keys):
                for answer in self._over_the_kept(rest[0], keys):
                    yield answer
                    del rest[0]
            if rest:
                with self._standing.opened(keys) as association:
                    for instance in rest:
                        yield self._send_one(association, instance)
        except NothingAccepted:
            # It is there and has answered: for each SOP class of its own.
            for instance in rest:
                yield self._answer(instance, NOT_SUPPORTED, _no_context(instance))

    def _over_the_kept(
        self, instance: Outgoing, keys: Sequence[contexts.ContextKey]
    ) -> Iterator[Sent]:
        """Its answer; none when none came.

        The peer may have ended the association meanwhile, or be about to. That says
        nothing of the instance, which then goes over a new one.
        """
        with self._standing.opened(keys) as association:
            sent = self._send_one(association, instance)
        if sent.status is not None:
            yield sent

    def _send_one(self, association: Association, instance: Outgoing) -> Sent:
        if not is_alive(association):
            return self._untried(instance, _NO_ANSWER)
        try:
            status = _status_of(_store(association, instance))
        except ValueError:
            return self._answer(instance, NOT_SUPPORTED, _no_context(instance))
        except AttributeError:
            return self._answer(instance, 0xC000, _UNREADABLE)
        except RuntimeError:
            status = None
        if status is None:
            return self._answer(instance, None, _NO_ANSWER)
        accepted = statuses.is_accepted(status)
        return self._answer(
            instance, status, "" if accepted else statuses.explain(status)
        )

    def _answer(self, instance: Outgoing, status: int | None, error: str) -> Sent:
        return Sent(instance.sop_instance_uid, status, error, self._clock.now())

    def _untried(self, instance: Outgoing, error: str) -> Sent:
        now = self._clock.now()
        return Sent(instance.sop_instance_uid, None, error, now, tried=False)


_UNREADABLE = "the data set lacks its SOP UIDs; correct the file at its source"
_NO_ANSWER = "no answer to C-STORE; the association ended or timed out, we try again"


def _no_context(instance: Outgoing) -> str:
    return (
        f"the destination accepts no SOP class {instance.sop_class_uid} in transfer "
        f"syntax {instance.transfer_syntax_uid}; enable it there or choose another "
        f"destination.profile"
    )


def _store(association: Association, instance: Outgoing) -> Dataset:
    try:
        return association.send_c_store(instance.path)
    except ValueError:
        if instance.transfer_syntax_uid not in contexts.CONVERTIBLE:
            raise
    # The peer takes another uncompressed syntax only: encode the data set anew.
    return association.send_c_store(dcmread(instance.path))


def _status_of(response: Dataset) -> int | None:
    return int(response.Status) if "Status" in response else None
