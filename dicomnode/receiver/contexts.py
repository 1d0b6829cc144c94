"""Which presentation contexts are accepted: every storage, in every transfer syntax."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache

from pydicom._uid_dict import UID_dictionary
from pydicom.uid import UID, ExplicitVRLittleEndian, ImplicitVRLittleEndian
from pynetdicom.presentation import PresentationContext, build_context
from pynetdicom.sop_class import Verification  # type: ignore[attr-defined]  # made at import

from dicomnode.domain.commitment import PUSH_MODEL

# A sender that offers several transfer syntaxes in one context can encode in each, so
# the choice is ours. Explicit VR keeps the VR of private elements, every reader decodes
# it, and a sender need not compress for us. One that wants to send compressed as it is
# offers that alone in a context of its own, and gets it. Else its first offer counts.
_PREFERRED = (ExplicitVRLittleEndian, ImplicitVRLittleEndian)

# Named storage in PS3.6, but of other services: media (PS3.10), storage commitment.
_NOT_STORED = {"MediaStorageDirectoryStorage"}


@lru_cache(maxsize=1024)
def is_storage(abstract_syntax: str) -> bool:
    """Whether to keep instances of this SOP Class: storage, private, or unknown to us.

    Only what PS3.6 registers as something else is refused (query/retrieve, MWL, print,
    storage commitment ...), so that newer and retired storage classes are accepted.
    """
    uid = UID(abstract_syntax)
    if not uid.keyword:
        return True
    return (
        uid.type == "SOP Class"
        and "Storage" in uid.keyword
        and "StorageCommitment" not in uid.keyword
        and uid.keyword not in _NOT_STORED
    )


def storage_classes() -> tuple[UID, ...]:
    """Every SOP Class of PS3.6 that is kept, by name; unknown ones are kept too."""
    found = (uid for uid in _registered() if is_storage(uid))
    return tuple(sorted(found, key=lambda uid: uid.name))


def _registered() -> Iterator[UID]:
    return map(UID, UID_dictionary)


def transfer_syntaxes(abstract_syntax: str) -> tuple[UID, ...]:
    """The transfer syntaxes of PS3.6 that are accepted for ``abstract_syntax``.

    In the order in which we choose when a peer offers all of them in one context.
    Others, newer or private ones, are accepted for storage too.
    """
    every: list[str | UID] = [uid for uid in _registered() if uid.is_transfer_syntax]
    offer = [build_context(abstract_syntax, every)]
    accepted = supported(offer, commitment=abstract_syntax == PUSH_MODEL)
    return tuple(UID(one) for context in accepted for one in context.transfer_syntax)


def supported(
    proposed: Iterable[PresentationContext],
    storage: bool = True,
    commitment: bool = False,
    echo: bool = True,
) -> list[PresentationContext]:
    """The contexts to support on the association that proposed these (PS3.8 9.3.2.2).

    One for each abstract syntax, with all its proposed transfer syntaxes by preference.
    ``storage``, ``commitment`` and ``echo`` say which of these the peer may use.
    """
    offers: dict[str, dict[UID, None]] = {}
    for context in proposed:
        abstract_syntax = str(context.abstract_syntax or "")
        if (echo and abstract_syntax == Verification) or (
            storage and is_storage(abstract_syntax)
        ):
            offer = offers.setdefault(abstract_syntax, {})
            offer.update(dict.fromkeys(context.transfer_syntax))
    contexts = [_built(uid, tuple(offers[uid])) for uid in offers]
    return [*contexts, _commitment()] if commitment else contexts


@lru_cache(maxsize=256)
def _built(
    abstract_syntax: str, transfer_syntaxes: tuple[UID, ...]
) -> PresentationContext:
    """Shared by associations: the library reads it and makes its results anew."""
    return build_context(abstract_syntax, _by_preference(transfer_syntaxes))


@lru_cache(maxsize=1)
def _commitment() -> PresentationContext:
    # Never deflated: its data sets are decoded here, and could be bombs. Either side
    # may have either role: modalities ask, destinations report (PS3.7 D.3.3.4).
    context = build_context(PUSH_MODEL, [*_PREFERRED])
    context.scu_role = context.scp_role = True
    return context


def _by_preference(transfer_syntaxes: Sequence[UID]) -> list[str | UID]:
    first = [uid for uid in _PREFERRED if uid in transfer_syntaxes]
    return [*first, *(uid for uid in transfer_syntaxes if uid not in first)]
