"""Reading a Structured Report for people: its content tree, and what it states.

Written against the standard only (PS3.3 C.17.3, PS3.16 TID 1500), as any viewer would
be: it shows what came back from the PACS, not what the node meant to say.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from pydicom.dataset import Dataset

from dicomnode.results import codes

_PRESENCE = {"52101004": "Present", "272519000": "Absent", "373068000": "Undetermined"}
"""CID 240, Present-Absent-Undetermined."""

_FINDING, _TRACKING_IDENTIFIER, _CONCLUSION = "121071", "112039", "121077"
_MEASUREMENT_GROUP, _SUMMARY, _DEVICE_MODEL_NAME = "125007", "111017", "121015"

_PARAMETERS = frozenset({"111002", "121106"})
"""Algorithm Parameters; a report without positives has them in its Comment."""

_OPERATING_POINT = re.compile(
    r"operating_point\[([^\]]+)\]=([\d.]+) grey_zone=([\d.]+)\.\.([\d.]+)"
)


@dataclass(frozen=True, slots=True)
class Item:
    """One content item; ``code`` is of its concept name, ``value_code`` of a CODE."""

    relationship: str
    value_type: str
    code: str
    name: str
    value: str
    value_code: str
    children: tuple[Item, ...]

    def walk(self) -> Iterator[Item]:
        """This item and everything below it, in document order."""
        yield self
        for child in self.children:
            yield from child.walk()

    def child(self, code: str) -> Item | None:
        """The first direct child with that concept name."""
        return next((one for one in self.children if one.code == code), None)


@dataclass(frozen=True, slots=True)
class Statement:
    """One finding and whether it is present; ``details`` are its numbers in words."""

    code: str
    meaning: str
    presence: str
    details: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Reading:
    """A report as a radiologist reads it.

    ``labels`` are those of present findings; ``device`` is the observer that made it.
    """

    title: str
    conclusion: str
    summary: str
    statements: tuple[Statement, ...]
    labels: frozenset[str]
    device: str
    operating_points: tuple[str, ...]
    tree: Item

    @property
    def is_analysed(self) -> bool:
        """False if no algorithm has given an opinion (PS3.16 CID 6042).

        Its meaning, "No algorithms succeeded; without findings", must not head a page:
        it looks like a negative.
        """
        return self.summary != codes.NONE_SUCCEEDED.meaning

    @property
    def heading(self) -> str:
        """What the report comes to, in a few words."""
        return (self.summary or self.title) if self.is_analysed else "Not analysed"

    @property
    def present(self) -> tuple[Statement, ...]:
        """The findings that are there."""
        return tuple(one for one in self.statements if one.presence == "Present")


def read(ds: Dataset) -> Reading:
    """The statements and the tree of an SR document."""
    tree = content(ds)
    items = tuple(tree.walk())
    groups = [one for one in items if one.code == _MEASUREMENT_GROUP]
    return Reading(
        title=tree.name,
        conclusion=_value_of(items, _CONCLUSION),
        summary=_value_of(items, _SUMMARY),
        statements=tuple(_statements(items, groups)),
        labels=frozenset(_labels(groups)),
        device=_value_of(items, _DEVICE_MODEL_NAME),
        operating_points=tuple(_operating_points(items)),
        tree=tree,
    )


def content(item: Dataset) -> Item:
    """A content item and all below it (PS3.3 C.17.3)."""
    name = item.get("ConceptNameCodeSequence")
    value_type = str(item.get("ValueType", ""))
    coded = item.get("ConceptCodeSequence")
    return Item(
        relationship=str(item.get("RelationshipType", "")),
        value_type=value_type,
        code=_code_value(name[0]) if name else "",
        name=str(name[0].get("CodeMeaning", "")) if name else value_type,
        value=_VALUES.get(value_type, _nothing)(item),
        value_code=_code_value(coded[0]) if coded else "",
        children=tuple(content(child) for child in item.get("ContentSequence", ())),
    )


def _statements(items: tuple[Item, ...], groups: list[Item]) -> Iterator[Statement]:
    details = {
        finding.value_code: tuple(_numbers(group))
        for group in reversed(groups)
        if (finding := group.child(_FINDING))
    }
    for item in items:
        if item.value_type == "CODE" and item.value_code in _PRESENCE:
            own = tuple(f"{one.name}: {one.value}" for one in item.children)
            presence = _PRESENCE[item.value_code]
            measured = details.get(item.code, ()) if presence == "Present" else ()
            yield Statement(item.code, item.name, presence, own or measured)


def _numbers(group: Item) -> Iterator[str]:
    for item in group.children:
        if item.value_type == "NUM":
            yield f"{item.name} {item.value}"


def _labels(groups: list[Item]) -> Iterator[str]:
    for group in groups:
        tracking = group.child(_TRACKING_IDENTIFIER)
        if tracking is not None:
            yield tracking.value


def _operating_points(items: tuple[Item, ...]) -> Iterator[str]:
    """Threshold and grey zone for each label, where the parameters name them."""
    said = " ".join(one.value for one in items if one.code in _PARAMETERS)
    for match in _OPERATING_POINT.finditer(said):
        label, *shares = match.groups()
        point, low, high = (f"{100 * float(share):g} %" for share in shares)
        yield f"{label} {point} (undetermined from {low} to {high})"


def _value_of(items: tuple[Item, ...], code: str) -> str:
    return next((one.value for one in items if one.code == code), "")


def _code_value(code: Dataset) -> str:
    for keyword in ("CodeValue", "LongCodeValue", "URNCodeValue"):
        if keyword in code:
            return str(code[keyword].value)
    return ""


def _nothing(_item: Dataset) -> str:
    return ""


def _coded(item: Dataset) -> str:
    return str(item.ConceptCodeSequence[0].get("CodeMeaning", ""))


def _number(item: Dataset) -> str:
    if not item.get("MeasuredValueSequence"):
        return "no value"
    measured = item.MeasuredValueSequence[0]
    units = measured.MeasurementUnitsCodeSequence[0]
    unit = "%" if units.CodeValue == "%" else units.CodeMeaning
    return f"{float(measured.NumericValue):g} {unit}"


def _reference(item: Dataset) -> str:
    referenced = item.ReferencedSOPSequence[0]
    return str(referenced.ReferencedSOPInstanceUID)


def _text(keyword: str) -> Callable[[Dataset], str]:
    return lambda item: str(item.get(keyword, ""))


_VALUES: Mapping[str, Callable[[Dataset], str]] = {
    "CODE": _coded,
    "NUM": _number,
    "IMAGE": _reference,
    "COMPOSITE": _reference,
    "TEXT": _text("TextValue"),
    "UIDREF": _text("UID"),
    "PNAME": _text("PersonName"),
    "DATE": _text("Date"),
    "TIME": _text("Time"),
    "DATETIME": _text("DateTime"),
    "SCOORD": _text("GraphicType"),
}
