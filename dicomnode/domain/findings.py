"""What a bundle says of an image, before any of it is DICOM."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from dicomnode.domain.series import AnalysedSeries, KeySlice, SeriesInput

Pixels8: TypeAlias = NDArray[np.uint8]
Map32: TypeAlias = NDArray[np.float32]
BoxSize: TypeAlias = tuple[int, int]
"""Width and height in pixels."""


@dataclass(frozen=True, slots=True)
class Code:
    """A coded concept (PS3.3 section 8): value, coding scheme designator, meaning."""

    value: str
    scheme: str
    meaning: str


class Presence(StrEnum):
    """CID 240 Present-Absent-Undetermined."""

    PRESENT = "PRESENT"
    ABSENT = "ABSENT"
    UNDETERMINED = "UNDETERMINED"


_WEIGHTS = (Presence.ABSENT, Presence.UNDETERMINED, Presence.PRESENT)


@dataclass(frozen=True, slots=True)
class OperatingPoint:
    """A threshold on the calibrated probability, with its grey zone (0 to 1)."""

    threshold: float
    grey_low: float
    grey_high: float

    def presence(self, probability: float) -> Presence:
        """Present from ``grey_high`` up, absent below ``grey_low``."""
        if probability >= max(self.threshold, self.grey_high):
            return Presence.PRESENT
        if probability < min(self.threshold, self.grey_low):
            return Presence.ABSENT
        return Presence.UNDETERMINED


@dataclass(frozen=True, slots=True)
class Region:
    """A closed outline on an image.

    ``points`` are (column, row) in pixels of the image, three or more; (0, 0) is the
    top left corner of the top left pixel (PS3.3 C.18.6.1.2).
    """

    points: tuple[tuple[float, float], ...]


@dataclass(frozen=True, slots=True)
class Finding:
    """One statement about one image.

    ``probability`` is 0 to 1, None for a statement that has none (a header check);
    ``text`` is the sentence for people when the finding is present;
    ``activation_map`` is float32 (map_rows, map_columns), 0 to 1, over the whole image.
    A finding on a series is stated on the slice that drove it most; ``slices`` are all
    that did, in their order, and ``frame_number`` (from 1) says which frame of a
    multi-frame object.
    """

    label: str
    code: Code
    presence: Presence
    text: str
    sop_instance_uid: str
    site: Code | None = None
    probability: float | None = None
    calibrated: bool = False
    operating_point: OperatingPoint | None = None
    activation_map: Map32 | None = field(default=None, compare=False, repr=False)
    regions: tuple[Region, ...] = ()
    frame_number: int | None = None
    slices: tuple[KeySlice, ...] = ()


@dataclass(frozen=True, slots=True)
class Category:
    """One choice among classes, e.g. (111031, DCM, "Image View") = antero-posterior."""

    label: str
    concept: Code
    value: Code
    sop_instance_uid: str
    probability: float | None = None
    calibrated: bool = False


@dataclass(frozen=True, slots=True)
class Observation:
    """What the drift monitor sees of one image: numbers, and the machine's name.

    ``values`` are scores and statistics of the grey values by name; ``outside`` the
    model's domain; ``undetermined`` when an answer lies in its grey zone.
    """

    values: Mapping[str, float]
    station: str = ""
    outside: bool = False
    undetermined: bool = False


@dataclass(frozen=True, slots=True)
class ImageFindings:
    """All a bundle says of one image.

    ``display`` is the image as displayed: uint8 (rows, columns), bones bright, with the
    shape of the image. ``views`` are the same made to fit in boxes, if any were wanted.
    """

    sop_instance_uid: str
    findings: tuple[Finding, ...]
    categories: tuple[Category, ...] = ()
    display: Pixels8 | None = field(default=None, compare=False, repr=False)
    observation: Observation | None = field(default=None, compare=False, repr=False)
    frame_number: int | None = None
    views: Mapping[BoxSize, Pixels8] = field(
        default_factory=dict, compare=False, repr=False
    )


@dataclass(frozen=True, slots=True)
class NotAnalysed:
    """Why an image, a series or a whole study was not analysed, in plain words.

    ``n_images`` of a series, named by one of them. ``by_design``: it was not meant to
    be, as another series or a localizer is not: the report is complete without it.
    """

    reason: str
    sop_instance_uid: str = ""
    observation: Observation | None = field(default=None, compare=False, repr=False)
    n_images: int = 1
    by_design: bool = False


@dataclass(frozen=True, slots=True)
class StudyFindings:
    """The whole answer for one job: images analysed and images excluded."""

    images: tuple[ImageFindings, ...] = ()
    excluded: tuple[NotAnalysed, ...] = ()
    reason: str = ""
    """Not empty: the study is NOT_ANALYSED, and this is why."""
    series: tuple[AnalysedSeries, ...] = ()
    """Of a pipeline that analyses series as a whole."""

    @property
    def n_analysed(self) -> int:
        """Images, or slices of the series, that the answer stands for."""
        return sum(one.n_slices for one in self.series) or len(self.images)

    @property
    def n_excluded(self) -> int:
        """Images that are left out, for whatever reason."""
        return sum(one.n_images for one in self.excluded)

    @property
    def n_missed(self) -> int:
        """Images that should have been analysed and were not."""
        return sum(one.n_images for one in self.excluded if not one.by_design)

    @property
    def positives(self) -> tuple[Finding, ...]:
        """Present findings of all images, the most probable first."""
        present = (
            finding
            for image in self.images
            for finding in image.findings
            if finding.presence is Presence.PRESENT
        )
        return tuple(sorted(present, key=lambda finding: -(finding.probability or 1.0)))

    def presences(self) -> dict[str, Presence]:
        """What the study as a whole shows, by label.

        Of several images the one that shows most counts: PRESENT before UNDETERMINED
        before ABSENT.
        """
        found: dict[str, Presence] = {}
        for finding in (one for image in self.images for one in image.findings):
            before = found.get(finding.label, Presence.ABSENT)
            found[finding.label] = max(before, finding.presence, key=_WEIGHTS.index)
        return found


@dataclass(frozen=True, slots=True)
class BundleInput:
    """What a bundle accepts; empty tuples accept everything."""

    modalities: tuple[str, ...] = ()
    sop_class_uids: tuple[str, ...] = ()
    body_parts: tuple[str, ...] = ()
    """Upper case; an absent or empty BodyPartExamined is accepted too."""
    min_rows: int = 1
    min_columns: int = 1
    max_images: int = 16
    views: tuple[str, ...] = ()
    """Upper case; an absent or empty ViewPosition is accepted too."""
    series: SeriesInput | None = None
    """Of a bundle that is made for whole series."""


@dataclass(frozen=True, slots=True)
class BundleFacts:
    """What a report must say about the bundle that made it."""

    name: str
    version: str
    digest: str
    device_uid: str
    manufacturer: str
    intended_use: str
    algorithm_family: str
    input: BundleInput = field(default_factory=BundleInput)
    labels: tuple[str, ...] = ()
    parameters: Mapping[str, str] = field(default_factory=dict)
