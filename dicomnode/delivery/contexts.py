"""Presentation contexts for what is going to be sent (PS3.8 9.3.2.2)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)
from pynetdicom import build_context
from pynetdicom.presentation import PresentationContext

from dicomnode.domain.delivery import Outgoing

MAX_CONTEXTS = 128
"""Context IDs are the odd numbers of one byte (PS3.8 Table 9-18)."""

CONVERTIBLE = (
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    DeflatedExplicitVRLittleEndian,
)

ContextKey = tuple[str, str]


def keys_of(instance: Outgoing) -> tuple[ContextKey, ...]:
    """(SOP class, transfer syntax) pairs that let ``instance`` through.

    The file's own syntax first, then Implicit VR Little Endian, which every SCP must
    accept (PS3.5 10.1), where the data set can be re-encoded without touching pixels.
    """
    own = (instance.sop_class_uid, instance.transfer_syntax_uid)
    if instance.transfer_syntax_uid not in CONVERTIBLE:
        return (own,)
    fallback = (instance.sop_class_uid, str(ImplicitVRLittleEndian))
    return (own,) if fallback == own else (own, fallback)


def build(keys: Sequence[ContextKey]) -> list[PresentationContext]:
    """One context for each pair, so that the peer answers for each syntax apart."""
    return [build_context(sop_class, [syntax]) for sop_class, syntax in keys]


def groups(instances: Sequence[Outgoing]) -> Iterator[tuple[Outgoing, ...]]:
    """``instances`` in order, cut so that no group needs more than 128 contexts."""
    group: list[Outgoing] = []
    wanted: set[ContextKey] = set()
    for instance in instances:
        more = wanted | set(keys_of(instance))
        if len(more) > MAX_CONTEXTS:
            yield tuple(group)
            group, more = [], set(keys_of(instance))
        group.append(instance)
        wanted = more
    if group:
        yield tuple(group)
