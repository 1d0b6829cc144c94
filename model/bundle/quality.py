"""The checks of a bundle that need no network, applied to one image."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from model import quality
from model.bundle.coding import CodeEntry, coded

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pydicom import Dataset

Answer = Literal["absent", "undetermined", "present"]


@dataclass(frozen=True)
class Limits:
    """Within usual_low and usual_high nothing is said, beyond low or high it is, and
    between them it is undetermined. An open side is infinite.
    """

    low: float = -math.inf
    usual_low: float = -math.inf
    usual_high: float = math.inf
    high: float = math.inf

    def __post_init__(self) -> None:
        if not self.low <= self.usual_low <= self.usual_high <= self.high:
            raise ValueError("limits of a quality check are out of order")


@dataclass(frozen=True)
class QualityCheck:
    """A check without a network: of a measure (`model.quality.MEASURES`) by its limits,
    or of a header attribute by limits or by the values that are remarked upon.

    text: for people, with {value}.
    """

    name: str
    code: CodeEntry
    text: str
    measure: str = ""
    keyword: str = ""
    values: tuple[str, ...] = ()
    limits: Limits | None = None


@dataclass(frozen=True)
class Remark:
    """What one check says of one image.

    value: what was measured; text: the check's sentence with it, for people.
    """

    check: QualityCheck
    answer: Answer
    value: float | str
    text: str


def parse_check(item: dict[str, Any]) -> QualityCheck:
    """From bundle.json; KeyError, TypeError or ValueError when it is not one."""
    measure, keyword = str(item.get("measure", "")), str(item.get("keyword", ""))
    limits = item.get("limits")
    if (measure in quality.MEASURES) == bool(keyword) or (measure and limits is None):
        raise ValueError(f"quality check {item['name']}: neither measure nor keyword")
    return QualityCheck(
        name=str(item["name"]),
        code=coded(item["code"]),
        text=str(item["text"]),
        measure=measure,
        keyword=keyword,
        values=tuple(str(value).upper() for value in item.get("values", ())),
        limits=None if limits is None else Limits(**_bounds(limits)),
    )


def remarks(
    checks: Sequence[QualityCheck],
    measured: Mapping[str, float],
    header: Mapping[str, str],
) -> tuple[Remark, ...]:
    """One remark for each check that can be made; a header without the attribute has
    nothing to say.

    measured: `model.quality.measure` of the image. header: as `headers_of` gives it.
    """
    found = (
        _of_header(check, header) if check.keyword else _of_pixels(check, measured)
        for check in checks
    )
    return tuple(remark for remark in found if remark)


def headers_of(checks: Sequence[QualityCheck], ds: Dataset) -> dict[str, str]:
    """The attributes that the checks ask for."""
    return quality.headers(ds, [check.keyword for check in checks if check.keyword])


def answer(limits: Limits, value: float) -> Answer:
    """Absent within what is usual, present beyond the limits, between them unsure."""
    if value < limits.low or value > limits.high:
        return "present"
    if value < limits.usual_low or value > limits.usual_high:
        return "undetermined"
    return "absent"


def _of_pixels(check: QualityCheck, measured: Mapping[str, float]) -> Remark | None:
    value = measured.get(check.measure)
    if value is None or check.limits is None:
        return None
    return _said(check, answer(check.limits, value), value)


def _of_header(check: QualityCheck, header: Mapping[str, str]) -> Remark | None:
    value = header.get(check.keyword)
    if value is None:
        return None
    if check.limits is None:
        is_one = value.upper() in check.values
        return _said(check, "present" if is_one else "absent", value)
    try:
        number = float(value)
    except ValueError:
        return None
    if not math.isfinite(number):
        return None
    return _said(check, answer(check.limits, number), number)


def _said(check: QualityCheck, found: Answer, value: float | str) -> Remark:
    shown = f"{value:.3g}" if isinstance(value, float) else value
    return Remark(check, found, value, check.text.format(value=shown))


def _bounds(stored: dict[str, Any]) -> dict[str, float]:
    """As numbers; a limit without a usual value has no grey zone."""
    found = {str(key): float(value) for key, value in stored.items()}
    if "low" in found:
        found.setdefault("usual_low", found["low"])
    if "high" in found:
        found.setdefault("usual_high", found["high"])
    return found
