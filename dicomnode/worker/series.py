"""Which series of a study are analysed, and why not the others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from itertools import groupby
from typing import BinaryIO, Protocol

from dicomnode.domain.findings import (
    BundleInput,
    ImageFindings,
    NotAnalysed,
    StudyFindings,
)
from dicomnode.domain.instance import Instance
from dicomnode.domain.series import AnalysedSeries, SeriesInput, SliceHeader, Volume
from dicomnode.ports import SeriesPredictor
from dicomnode.worker.geometry import Named, volume_of
from dicomnode.worker.selection import Selection, number, reason_of, text

NOTHING_TO_ANALYSE = "the study holds no series that the pipeline wants"
_SCOUT = "a localizer is not one the model was made for"
_DERIVED = "a derived series (a reformat or the like) is not one the model was made for"
_HOUNSFIELD = ("", "HU")


@dataclass(frozen=True, slots=True)
class _Candidate:
    """A series that may be analysed."""

    instances: tuple[Instance, ...]
    n_slices: int
    header: SliceHeader = field(default_factory=SliceHeader)

    @property
    def uid(self) -> str:
        return self.instances[0].series_instance_uid

    @property
    def title(self) -> str:
        """For people; never a text that somebody typed, it could name the patient."""
        thick = self.header.thickness
        size = f" of {thick:g} mm" if thick else ""
        number_ = text(self.instances[0], "SeriesNumber") or "without number"
        kernel = f", kernel {self.header.kernel}" if self.header.kernel else ""
        return f"series {number_} ({self.n_slices} slices{size}{kernel})"

    def without(self, reason: str, *, by_design: bool = False) -> NotAnalysed:
        return NotAnalysed(
            f"{self.title}: {reason}",
            self.instances[0].sop_instance_uid,
            n_images=len(self.instances),
            by_design=by_design,
        )


class Opener(Protocol):
    """Of an instance store, all that is needed here."""

    def open(self, location: str) -> BinaryIO:
        """The file at a location."""
        ...


class SeriesAnalyst:
    """Chooses series by the bundle's rule, and has them analysed."""

    def __init__(
        self, predictor: SeriesPredictor, store: Opener, accepted: BundleInput
    ) -> None:
        self._predictor = predictor
        self._store = store
        self._wanted = accepted.series or SeriesInput()
        self._locations: dict[str, str] = {}
        self._surveyed: dict[str, Sequence[SliceHeader] | str] = {}

    def findings(self, selection: Selection, priority: int) -> StudyFindings:
        """The answer for a study; raises PredictionFailed, DeviceLost."""
        self._locations = {x.sop_instance_uid: x.location for x in selection.images}
        self._surveyed = {}
        candidates, excluded = self._candidates(selection)
        images = list[ImageFindings]()
        analysed = list[AnalysedSeries]()
        for one in self._ranked(self._fitting(candidates, excluded, priority)):
            if len(analysed) == self._wanted.max_series:
                better = (
                    f"{analysed[0].title.partition(' (')[0]} suits the model better"
                )
                excluded.append(one.without(better, by_design=True))
                continue
            said = self._analysed(one, priority)
            if isinstance(said, NotAnalysed):
                excluded.append(said)
            else:
                images += said[1]
                analysed.append(said[0])
        reason = "" if images else reason_of(excluded) or NOTHING_TO_ANALYSE
        return StudyFindings(tuple(images), tuple(excluded), reason, tuple(analysed))

    def _candidates(
        self, selection: Selection
    ) -> tuple[list[_Candidate], list[NotAnalysed]]:
        """By series, without those whose attributes rule them out."""
        candidates, excluded = list[_Candidate](), list(selection.excluded)
        by_series = sorted(selection.images, key=lambda one: one.series_instance_uid)
        for _, some in groupby(by_series, key=lambda one: one.series_instance_uid):
            instances = tuple(some)
            n_slices = sum(number(one, "NumberOfFrames", 1) for one in instances)
            one = _Candidate(instances, n_slices)
            why = self._why_not(one)
            if why:
                excluded.append(one.without(why, by_design=True))
            else:
                candidates.append(one)
        return candidates, excluded

    def _why_not(self, one: _Candidate) -> str:
        kinds = [_image_type(instance) for instance in one.instances]
        if all({"LOCALIZER", "SCOUT"} & set(kind) for kind in kinds):
            return _SCOUT
        if not self._wanted.derived and all(_is_derived(kind) for kind in kinds):
            return _DERIVED
        if one.n_slices < self._wanted.min_slices:
            least = self._wanted.min_slices
            return f"fewer slices than the model needs ({least})"
        return ""

    def _fitting(
        self,
        candidates: Sequence[_Candidate],
        excluded: list[NotAnalysed],
        priority: int,
    ) -> list[_Candidate]:
        """With their headers, those that the bundle's rules do not rule out."""
        firsts = [one.instances[len(one.instances) // 2] for one in candidates]
        uids = [one.sop_instance_uid for one in firsts]
        said = self._survey(uids, priority)
        known = [
            _Candidate(one.instances, one.n_slices, _middle(said[uid]))
            for one, uid in zip(candidates, uids, strict=True)
        ]
        fitting = list[_Candidate]()
        for one in known:
            keyword = unfit(one.header.facts, self._wanted)
            if keyword:
                why = f"by its {keyword} it is not one the model was made for"
                excluded.append(one.without(why, by_design=True))
            else:
                fitting.append(one)
        return fitting

    def _ranked(self, candidates: Sequence[_Candidate]) -> list[_Candidate]:
        """The best first: kernel, thickness, number of slices, fine pixels."""
        return sorted(candidates, key=self._rank)

    def _rank(self, one: _Candidate) -> tuple[bool, float, int, float, int, str]:
        wanted, header = self._wanted, one.header
        kernel = header.kernel.upper()
        other = bool(wanted.kernels) and not any(k in kernel for k in wanted.kernels)
        low, high = wanted.slice_thickness_mm or (0.0, float("inf"))
        thick = header.thickness
        off = 1e3 if thick is None else max(low - thick, thick - high, 0.0)
        off = off if wanted.slice_thickness_mm else 0.0
        fine = max(header.spacing, default=1e3)
        order = number(one.instances[0], "SeriesNumber", 0)
        return other, off, -one.n_slices, fine, order, one.uid

    def _analysed(
        self, one: _Candidate, priority: int
    ) -> tuple[AnalysedSeries, Sequence[ImageFindings]] | NotAnalysed:
        volume = self._volume(one, priority)
        if isinstance(volume, str):
            return one.without(volume)
        answer = self._predictor.predict_series(volume, self._open, priority)
        if isinstance(answer, NotAnalysed):
            return one.without(answer.reason)
        return (
            AnalysedSeries(
                one.uid,
                one.title,
                len(volume.slices),
                len(volume.wanted),
                volume.remarks,
            ),
            answer,
        )

    def _volume(self, one: _Candidate, priority: int) -> Volume | str:
        uids = [instance.sop_instance_uid for instance in one.instances]
        said = self._survey(uids, priority)
        located = [
            (uid, header)
            for uid in uids
            if not isinstance(headers := said[uid], str)
            for header in headers
        ]
        broken = [why for why in said.values() if isinstance(why, str)]
        if len(broken) > self._wanted.max_missing_fraction * len(uids):
            return f"{len(broken)} of {len(uids)} headers cannot be read ({broken[0]})"
        units = {header.units for _, header in located} - set(_HOUNSFIELD)
        if self._wanted.has_windows and _modality(one) == "CT" and units:
            return f"its values are in {min(units)}, not in Hounsfield units"
        return volume_of(Named(one.uid, one.title), located, self._wanted)

    def _survey(
        self, uids: Sequence[str], priority: int
    ) -> Mapping[str, Sequence[SliceHeader] | str]:
        """Each object once: the headers of an enhanced one are those of all frames."""
        new = [uid for uid in uids if uid not in self._surveyed]
        self._surveyed |= self._predictor.survey(new, self._open, priority)
        return {uid: self._surveyed[uid] for uid in uids}

    def _open(self, sop_instance_uid: str) -> BinaryIO:
        return self._store.open(self._locations[sop_instance_uid])


def unfit(facts: Mapping[str, Sequence[str]], wanted: SeriesInput) -> str:
    """The keyword of the first rule that a series breaks; empty if it breaks none."""
    for keyword, patterns in wanted.match:
        if not _fits(facts.get(keyword, ()), patterns):
            return keyword
    for keyword, patterns in wanted.exclude:
        if _fits(facts.get(keyword, ()), patterns):
            return keyword
    return ""


def _fits(values: Sequence[str], patterns: Sequence[str]) -> bool:
    given = [value.upper() for value in values] or [""]
    return any(fnmatchcase(value, one) for value in given for one in patterns)


def _middle(said: Sequence[SliceHeader] | str) -> SliceHeader:
    if isinstance(said, str) or not said:
        return SliceHeader()
    return said[len(said) // 2]


def _modality(one: _Candidate) -> str:
    return text(one.instances[0], "Modality")


def _image_type(instance: Instance) -> tuple[str, ...]:
    value = instance.attributes.get("ImageType", ())
    several = (value,) if isinstance(value, str) else tuple(value)
    return tuple(one.strip().upper() for one in several)


def _is_derived(kind: Sequence[str]) -> bool:
    return "DERIVED" in kind[:1] or "SECONDARY" in kind[1:2]
