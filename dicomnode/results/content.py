"""The content tree of a report (PS3.3 C.17.3): items made once, then joined as bytes.

The reports of one bundle consist of much the same items, and to make, encode and check
an item takes longer than all else. So each is made by highdicom, encoded and looked at
once, and kept. Only what depends on the character set of the study, text beyond ASCII,
is encoded with the whole of the report.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass
from functools import partial

from highdicom.sr import ContentItem, ContentSequence
from pydicom.dataset import Dataset
from pydicom.tag import Tag

from dicomnode.results.charset import is_plain, keep_bytes, text_of
from dicomnode.results.encoding import as_read, encode_elements
from dicomnode.results.item_facts import ItemFacts, facts_of

CONTENT = Tag("ContentSequence")
_SEQUENCE = struct.Struct("<HH2sHI")
_ITEM = struct.Struct("<HHI")


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """One item without its children, never changed once it is made.

    ``make`` gives it as highdicom has it. ``before`` and ``after`` are its encoded
    elements on either side of where the children go; empty when it is not ``is_plain``,
    that is all ASCII. ``designators`` are of the codes in it.
    """

    make: Callable[[], ContentItem]
    is_plain: bool
    before: bytes
    after: bytes
    designators: frozenset[str]
    facts: ItemFacts


@dataclass(frozen=True, slots=True)
class Content:
    """An item and what it contains."""

    part: Part
    children: tuple[Content, ...] = ()

    @property
    def is_plain(self) -> bool:
        """Whether its bytes are the same in every character set."""
        return self.part.is_plain and all(one.is_plain for one in self.children)

    @property
    def designators(self) -> frozenset[str]:
        """Coding schemes of all codes in it."""
        return self.part.designators.union(*(one.designators for one in self.children))

    def encoded_children(self) -> bytes:
        """The value of its Content Sequence, in Explicit VR Little Endian (PS3.5 7.5).

        For what ``is_plain`` only.
        """
        return b"".join(
            piece for child in self.children for piece in _as_item(child.encoded())
        )

    def encoded(self) -> bytes:
        """All its elements, likewise."""
        if not self.children:
            return self.part.before + self.part.after
        value = self.encoded_children()
        head = _SEQUENCE.pack(CONTENT.group, CONTENT.element, b"SQ", 0, len(value))
        return b"".join((self.part.before, head, value, self.part.after))

    def tree(self) -> ContentItem:
        """The same as an item of highdicom of its own, which may be changed."""
        item = deepcopy(self.part.make())
        if self.children:
            item.ContentSequence = ContentSequence(
                [one.tree() for one in self.children]
            )
        return item


def part_of(item: ContentItem) -> Part:
    """What there is to know of an item that has no children yet."""
    plain = is_plain(item)
    keep_bytes(item)
    elements = encode_elements(item, sorted(item.keys())) if plain else {}
    before, after = (
        b"".join(value for tag, value in elements.items() if (tag > CONTENT) is later)
        for later in (False, True)
    )
    return Part(
        make=partial(_itself, item),
        is_plain=plain,
        before=before,
        after=after,
        designators=frozenset(designators_in(item)),
        # As a receiver would read it.
        facts=facts_of(as_read(before + after) if plain else item),
    )


def _itself(item: ContentItem) -> ContentItem:
    return item


def designators_in(dataset: Dataset) -> Iterator[str]:
    """The coding scheme of each code in the sequences of a data set, at any depth."""
    for tag in tuple(dataset.keys()):
        element = dataset.get_item(tag)
        if element.VR == "SQ" and not isinstance(element.value, bytes):
            for item in element.value or ():
                yield text_of(item, "CodingSchemeDesignator")
                yield from designators_in(item)


def contained(part: Part, children: Sequence[Content]) -> Content:
    """An item with children."""
    return Content(part, tuple(children))


def _as_item(encoded: bytes) -> tuple[bytes, bytes]:
    return _ITEM.pack(0xFFFE, 0xE000, len(encoded)), encoded
