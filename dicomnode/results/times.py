"""When an analysis was made, in the time zone of the study it belongs to.

TimezoneOffsetFromUTC (0008,0201) governs every DA, TM and DT of an object (PS3.3
C.12.1), the copied StudyTime too. So the source's offset is kept and our times are
converted to it. A source that has times but no offset gets none from us, or we would
claim that its StudyTime is UTC; our DT values carry their offset themselves.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone

from pydicom.dataset import Dataset

from dicomnode.errors import ResultError
from dicomnode.results.charset import text_of

_OFFSET = re.compile(r"([+-])(\d\d)([0-5]\d)")
_COPIED_TIMES = ("StudyTime", "PatientBirthTime")


@dataclass(frozen=True, slots=True)
class Moment:
    """An instant as DICOM writes it; ``offset`` is empty when the object has none."""

    date: str
    time: str
    date_time: str
    offset: str


def moment(analysed_at: datetime, source: Dataset) -> Moment:
    """``analysed_at`` in the zone of ``source``, else in its own."""
    if analysed_at.utcoffset() is None:
        message = "analysed_at has no time zone; pass an aware datetime, such as UTC"
        raise ResultError(message)
    offset = source_offset(source)
    if offset:
        analysed_at = analysed_at.astimezone(_zone(offset))
    elif not any(text_of(source, keyword) for keyword in _COPIED_TIMES):
        offset = f"{analysed_at:%z}"[:5]
    return Moment(
        date=f"{analysed_at:%Y%m%d}",
        time=f"{analysed_at:%H%M%S}",
        date_time=f"{analysed_at:%Y%m%d%H%M%S}{analysed_at:%z}"[:19],
        offset=offset,
    )


def source_offset(source: Dataset) -> str:
    """TimezoneOffsetFromUTC of the source; empty when absent or malformed."""
    offset = text_of(source, "TimezoneOffsetFromUTC")
    return offset if _OFFSET.fullmatch(offset) else ""


def _zone(offset: str) -> timezone:
    sign, hours, minutes = _OFFSET.fullmatch(offset).groups()  # type: ignore[union-attr]  # checked by source_offset
    delta = timedelta(hours=int(hours), minutes=int(minutes))
    return timezone(-delta if sign == "-" else delta)
