"""Association requests that were seen before, byte for byte (PS3.8 9.3.2).

A modality that associates anew for each image asks the same each time, and the library
takes most of a millisecond to read it, and as long again to answer.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from functools import cached_property

from pynetdicom.pdu import A_ASSOCIATE_RQ
from pynetdicom.pdu_primitives import (
    A_ASSOCIATE,
    ImplementationClassUIDNotification,
    ImplementationVersionNameNotification,
    MaximumLengthNotification,
)
from pynetdicom.presentation import PresentationContext

_MOST_REMEMBERED = 64
_LONGEST_BYTES = 8192
_PROTOCOL_VERSION = 1
# Nothing is negotiated with these (PS3.7 D.3.3.1 and D.3.3.2).
_PLAIN_ITEMS = (
    ImplementationClassUIDNotification,
    ImplementationVersionNameNotification,
    MaximumLengthNotification,
)


@dataclass(frozen=True, slots=True)
class Agreement:
    """How a request was accepted: the primitive, its PDU, and the contexts by id."""

    primitive: A_ASSOCIATE
    encoded: bytes
    accepted: dict[int, PresentationContext]
    rejected: list[PresentationContext]


class SeenRequest(A_ASSOCIATE_RQ):
    """An A-ASSOCIATE-RQ that is decoded and turned into a primitive once.

    The library only reads the primitive of a request that it can accept.
    """

    def __init__(self) -> None:
        super().__init__()
        self._primitive: A_ASSOCIATE | None = None
        self.agreements: dict[Hashable, Agreement] = {}
        """By everything but the request that decides on how it is accepted."""

    def to_primitive(self) -> A_ASSOCIATE:
        """The primitive, which associations with the same request share."""
        if self._primitive is None:
            self._primitive = super().to_primitive()
        return self._primitive

    @cached_property
    def abstract_syntaxes(self) -> frozenset[str]:
        """All that are proposed."""
        contexts = self.to_primitive().presentation_context_definition_list
        return frozenset(str(context.abstract_syntax) for context in contexts)

    @cached_property
    def is_plain(self) -> bool:
        """Whether only presentation contexts are to be negotiated."""
        items = self.to_primitive().user_information
        return all(isinstance(item, _PLAIN_ITEMS) for item in items)


class SeenRequests:
    """The last distinct requests; safe for many threads."""

    def __init__(self) -> None:
        self._seen: dict[bytes, SeenRequest] = {}

    def decoded(self, encoded: bytes) -> SeenRequest:
        """The PDU; raises what the library raises for one that cannot be read."""
        seen = self._seen.get(encoded)
        if seen is not None:
            return seen
        request = SeenRequest()
        request.decode(encoded)
        # The library writes into the primitive of a request that it rejects.
        if request.protocol_version == _PROTOCOL_VERSION:
            self._remember(encoded, request)
        return request

    def _remember(self, encoded: bytes, request: SeenRequest) -> None:
        if len(encoded) > _LONGEST_BYTES:
            return
        if len(self._seen) >= _MOST_REMEMBERED:
            self._seen.clear()
        self._seen[encoded] = request
