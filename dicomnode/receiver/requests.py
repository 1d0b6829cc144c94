"""A C-STORE: what is asked, what is answered, and how much is too much."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NoReturn

from dicomnode.domain.instance import InstanceKey
from dicomnode.errors import StoreFull
from dicomnode.ports import Buffer

_COMMENT_CHARACTERS = 64


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

    @property
    def commanded(self) -> InstanceKey:
        """What the command says; study and series, still unknown, are empty."""
        return InstanceKey(
            study_instance_uid="",
            series_instance_uid="",
            sop_instance_uid=_trimmed(self.sop_instance_uid),
            sop_class_uid=_trimmed(self.sop_class_uid),
            transfer_syntax_uid=_trimmed(self.transfer_syntax_uid),
        )


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
        if n_instance_bytes > self.max_instance_bytes:
            _too_large("max_instance_bytes", self.max_instance_bytes)
        if n_association_bytes > self.max_association_bytes:
            _too_large("max_association_bytes", self.max_association_bytes)


def _too_large(name: str, limit: int) -> NoReturn:
    raise StoreFull(f"too large; raise receiver.{name} = {limit}")


def _trimmed(uid: str) -> str:
    # PS3.5 9.1 pads with one NUL; spaces are a common mistake.
    return uid.strip(" \0")
