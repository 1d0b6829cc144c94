"""A job's results as its page shows them: read from the objects that were sent."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dicomnode.errors import UnknownStudy

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

    from dicomnode.results.reading import Reading

_HEIGHT = 1080
_BASIC_TEXT = "1.2.840.10008.5.1.4.1.1.88.11"


@dataclass(frozen=True, slots=True)
class Picture:
    """A Secondary Capture and the words below it."""

    dataset: Dataset
    caption: str

    def jpeg(self) -> bytes:
        """At most 1080 pixels high."""
        from dicomnode.results.pictures import preview  # noqa: PLC0415 - imports numpy

        return preview(self.dataset, _HEIGHT)


@dataclass(frozen=True, slots=True)
class Shown:
    """The report that says most, and the pictures."""

    reading: Reading
    pictures: tuple[Picture, ...]


def report_of(results: Sequence[Dataset]) -> Shown:
    """What a page shows of ``results``; raises UnknownStudy without a report."""
    from dicomnode.results.reading import read  # noqa: PLC0415 - imports highdicom

    reports = [one for one in results if "ContentSequence" in one]
    if not reports:
        raise UnknownStudy("the job has no report; its timeline says why")
    main = max(reports, key=lambda one: str(one.SOPClassUID) != _BASIC_TEXT)
    pictures = tuple(
        Picture(one, str(one.get("ImageComments", "")))
        for one in results
        if "PixelData" in one
    )
    return Shown(read(main), pictures)
