"""The header of one frame: functional groups first, then the dataset itself."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from pydicom.multival import MultiValue

from model.pixels.errors import UnsupportedPixels

if TYPE_CHECKING:
    from pydicom import Dataset

# Where enhanced multi-frame objects keep what others have at the top (PS3.3 C.7.6.16)
_GROUPS = (
    "PixelValueTransformationSequence",
    "FrameVOILUTSequence",
    "PixelMeasuresSequence",
)


class FrameHeader:
    """Attributes as they hold for one frame."""

    def __init__(self, ds: Dataset, frame: int) -> None:
        self._places = [*_functional_groups(ds, frame), ds]

    def get(self, keyword: str) -> Any:
        """The value, or None when absent or empty."""
        for place in self._places:
            value = place.get(keyword)
            if value is not None and value != "" and not _is_empty(value):
                return value
        return None

    def first(self, keyword: str) -> Any:
        """The first of several values, or None."""
        value = self.get(keyword)
        return value[0] if isinstance(value, MultiValue | list) else value

    def number(self, keyword: str) -> float | None:
        """The first value as a finite number, or None when absent."""
        value = self.first(keyword)
        if value is None:
            return None
        try:
            number = float(value)
        except (TypeError, ValueError):
            number = math.nan
        if not math.isfinite(number):
            raise UnsupportedPixels(
                f"{keyword} is not a number: correct it at the source"
            )
        return number

    def whole(self, keyword: str, default: int | None = None) -> int:
        """A whole number; absent without a default is refused."""
        number = self.number(keyword)
        if number is None:
            if default is None:
                raise UnsupportedPixels(
                    f"{keyword} is missing: the image is incomplete"
                )
            return default
        if number != int(number):
            raise UnsupportedPixels(f"{keyword} is not whole: correct it at the source")
        return int(number)

    def item(self, keyword: str) -> Dataset | None:
        """The first item of a sequence, or None."""
        sequence = self.get(keyword)
        return sequence[0] if sequence else None


def _is_empty(value: Any) -> bool:
    return hasattr(value, "__len__") and len(value) == 0


def _functional_groups(ds: Dataset, frame: int) -> list[Dataset]:
    """Items that hold for this frame, per-frame before shared."""
    per_frame = ds.get("PerFrameFunctionalGroupsSequence") or []
    holders = [per_frame[frame]] if frame < len(per_frame) else []
    holders += list(ds.get("SharedFunctionalGroupsSequence") or [])[:1]
    return [
        holder.get(group)[0]
        for holder in holders
        for group in _GROUPS
        if holder.get(group)
    ]
