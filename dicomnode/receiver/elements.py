"""Wanted top-level elements of an encoded data set, found without decoding a value.

One loop over the bytes (PS3.5 7.1): nothing recurses, no value is copied, and the
number of elements visited is bounded, so a hostile data set costs little.
"""

from __future__ import annotations

import struct
from collections.abc import Container, Iterator
from typing import Final

from pydicom.valuerep import EXPLICIT_VR_LENGTH_16

_SHORT = frozenset(str(vr).encode() for vr in EXPLICIT_VR_LENGTH_16)
_UNDEFINED = 0xFFFFFFFF
_ITEM_GROUP, _ITEM = 0xFFFE, 0xE000
_MAX_ELEMENTS = 100_000


class Syntax:
    """How elements are encoded (PS3.5 7.1 and 7.3).

    ``order`` is the one of bytes, as struct writes it. ``tag_vr_length`` reads group,
    element, VR and a 16-bit length; ``length`` a 32-bit length. ``short``: the VRs
    whose length has 16 bits.
    """

    def __init__(self, implicit_vr: bool, little_endian: bool = True) -> None:
        self.implicit_vr: Final = implicit_vr
        self.short: Final = frozenset[bytes]() if implicit_vr else _SHORT
        self.order: Final = "<" if little_endian else ">"
        self.tag_vr_length: Final = struct.Struct(f"{self.order}HH2sH").unpack_from
        self.length: Final = struct.Struct(f"{self.order}I").unpack_from


EXPLICIT, IMPLICIT = Syntax(implicit_vr=False), Syntax(implicit_vr=True)
BIG_ENDIAN = Syntax(implicit_vr=False, little_endian=False)


class TruncatedError(Exception):
    """What is known to be the beginning of a data set ends before the last element."""


Element = tuple[int, bytes, memoryview]
"""Tag, VR and value, of defined length; the VR is empty where it is implicit."""


_Head = tuple[int, int, bytes, int, int]
"""Group, number, VR, length, and where the value begins."""


def elements(
    data: memoryview,
    syntax: Syntax,
    wanted: Container[int],
    last_tag: int,
    whole: bool = True,
) -> Iterator[Element]:
    """The ``wanted`` elements up to ``last_tag``, or up to where ``data`` is broken.

    Not ``whole``: raises TruncatedError instead of coming to the end of ``data``.
    """
    position, left, n_bytes = 0, _MAX_ELEMENTS, len(data)
    start, short = syntax.tag_vr_length, syntax.short
    try:
        while left:
            group, number, vr, length = start(data, position)
            tag = group << 16 | number
            if tag > last_tag:
                return
            # Most of them; no item, whose tag is beyond any that is wanted.
            if vr in short:
                begins = position + 8
            else:
                _, _, vr, length, begins = _head(data, position, syntax)
            left -= 1
            position = begins + length
            if length == _UNDEFINED:
                position, left = _skip(data, begins, _inside(vr, syntax), left)
            # What ends beyond the data is its last, and the next head says so.
            elif tag in wanted and position <= n_bytes:
                yield tag, vr, data[begins:position]
    except struct.error:
        pass
    if not whole:
        raise TruncatedError


def _head(data: memoryview, position: int, syntax: Syntax) -> _Head:
    """Raises struct.error at the end of the data."""
    group, number, vr, length = syntax.tag_vr_length(data, position)
    if vr in syntax.short and group != _ITEM_GROUP:
        return group, number, vr, length, position + 8
    begins = position + 8
    # Items have no VR (PS3.5 7.5), and some senders forget it at single elements.
    if syntax.implicit_vr or group == _ITEM_GROUP or not vr.isalpha():
        vr = b""
    else:
        # PS3.5 7.1.2: two reserved bytes, then a 32-bit length.
        begins += 4
    (length,) = syntax.length(data, begins - 4)
    return group, number, vr, length, begins


def _inside(vr: bytes, syntax: Syntax) -> Syntax:
    # PS3.5 6.2.2 note 2: UN of undefined length holds Implicit VR Little Endian.
    return IMPLICIT if vr == b"UN" else syntax


def _skip(
    data: memoryview, position: int, syntax: Syntax, left: int
) -> tuple[int, int]:
    """Where a value of undefined length ends, having visited some of ``left``.

    ``open_values`` remembers, for each open sequence, item or fragment list, the
    syntax that is in force around it. Raises struct.error where the data ends.
    """
    open_values = [syntax]
    while open_values and left:
        left -= 1
        group, number, vr, length, position = _head(data, position, syntax)
        if group == _ITEM_GROUP and number != _ITEM:
            syntax = open_values.pop()
        elif length == _UNDEFINED:
            open_values.append(syntax)
            syntax = _inside(vr, syntax)
        else:
            position += length
    return position, left
