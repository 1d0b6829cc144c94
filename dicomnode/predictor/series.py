"""A whole series through the network, slice by slice, and its one answer."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from dicomnode.batching import Batcher, Lane
from dicomnode.decoder import CHUNK, Decoder, Undecodable
from dicomnode.domain.findings import (
    Finding,
    ImageFindings,
    NotAnalysed,
    Pixels8,
    Presence,
)
from dicomnode.domain.series import KeySlice, Slice, SliceHeader, Volume
from dicomnode.interpretation import (
    observation,
    outside,
    present,
    remarked,
    series_finding,
)
from dicomnode.predictor.checking import SeriesChecks
from dicomnode.predictor.network import BundleNetwork, Unusable, raise_if_passing
from dicomnode.predictor.reading import Open, Windows, decoded, needed, stacks
from model import bundle as bundles

if TYPE_CHECKING:
    from model.bundle.parts import Inferred

_IN_FLIGHT = 4 * CHUNK
"""Slices at most between decoder and answer."""

_MOST_KEY_SLICES = 12
Said: TypeAlias = "dict[int, Inferred]"


class SeriesReader:
    """What a series bundle does with the volumes it is given."""

    def __init__(
        self, bundle: Any, network: BundleNetwork, decoder: Decoder, batcher: Batcher
    ) -> None:
        self._bundle = bundle
        self._network = network
        self._decoder = decoder
        self._batcher = batcher
        self._spec = bundle.description.input.series
        self._checks = bundle.description.quality
        self._keywords = _keywords(bundle.description)

    def survey(
        self, uids: Sequence[str], open_file: Open, priority: int
    ) -> dict[str, Sequence[SliceHeader] | str]:
        """SOP Instance UID -> headers of its slices, or why there are none."""
        found: dict[str, Sequence[SliceHeader] | str] = {}
        for first in range(0, len(uids), CHUNK):
            chunk = uids[first : first + CHUNK]
            files = [open_file(uid) for uid in chunk]
            try:
                said = self._decoder.survey(
                    files, priority, first, self._keywords
                ).result()
            finally:
                for file in files:
                    file.close()
            for uid, one in zip(chunk, said, strict=True):
                found[uid] = one.reason if isinstance(one, Undecodable) else one
        return found

    def predict(
        self, volume: Volume, open_file: Open, priority: int
    ) -> Sequence[ImageFindings] | NotAnalysed:
        """One answer for the series: findings on the slices that drove them."""
        checks = SeriesChecks(self._checks, volume)
        found, failed = self._network_said(volume, open_file, priority, checks)
        most = self._bundle.description.input.series.max_missing_fraction
        if not found or len(failed) > most * len(volume.wanted):
            why = next(iter(failed.values()), "it has no slices to read")
            share = f"{len(failed)} of {len(volume.wanted)} slices"
            return NotAnalysed(f"{share} cannot be used ({why})")
        order = sorted(found)
        prediction = self._bundle.sum_up([found[index] for index in order])
        labels = self._bundle.description.labels
        seen = observation(labels, prediction, checks.header.station)
        remarks = checks.remarks()
        if not prediction.in_domain:
            why = "; ".join([outside(prediction), *present(remarks)])
            return NotAnalysed(why, observation=seen)
        driven = self._findings(volume, order, prediction)
        middle = order[len(order) // 2]
        if remarks:
            driven[middle] += _made(remarks, volume.slices[middle])
        first, *others = self._with_maps(volume, open_file, priority, (found, driven))
        return replace(first, observation=seen), *others

    def _network_said(
        self, volume: Volume, open_file: Open, priority: int, checks: SeriesChecks
    ) -> tuple[Said, dict[int, str]]:
        """Slice index -> what the network said, and why it said nothing of others."""
        found: Said = {}
        failed: dict[int, str] = {}
        asked: dict[int, Future[Any]] = {}
        passing = list[Unusable]()

        def settle(most: int) -> None:
            while len(asked) > most:
                index = next(iter(asked))
                answer = asked.pop(index).result()
                if isinstance(answer, Unusable):
                    failed[index] = answer.reason
                    passing.extend([answer] if answer.passing else [])
                else:
                    found[index] = _without_canvas(answer)

        shown = self._stacks(volume, open_file, priority, checks.measured)
        n_wanted = len(volume.wanted)
        with self._batcher.lane(self._network, n_wanted, priority) as lane:
            for index, stack in shown:
                _submit(lane, index, stack, (asked, failed))
                if not isinstance(stack, Undecodable):
                    checks.look(index, stack)
                settle(_IN_FLIGHT)
        settle(0)
        if not found:
            raise_if_passing(passing)
        return found, failed

    def _stacks(
        self, volume: Volume, open_file: Open, priority: int, measured: frozenset[int]
    ) -> Iterator[tuple[int, Any]]:
        spec = self._spec
        wanted = [
            (index, volume.slices[index]) for index in needed(volume, spec.stack_depth)
        ]
        ways = spec.ranges, bool(spec.percentiles), self._bundle.preparation, measured
        planes = decoded(self._decoder, open_file, wanted, Windows(*ways), priority)
        return stacks(volume, spec.stack_depth, planes)

    def _findings(
        self, volume: Volume, order: Sequence[int], prediction: bundles.SeriesPrediction
    ) -> dict[int, list[Finding]]:
        """By the index of the slice that drove each finding most."""
        driven: dict[int, list[Finding]] = defaultdict(list)
        for label in self._bundle.description.labels:
            each = np.array(prediction.slices[label.name])
            n_driving = self._n_driving(each, label.operating_point)
            best = np.argsort(-each, kind="stable")[:n_driving]
            keys = tuple(
                _key(volume.slices[order[one]], float(each[one]))
                for one in sorted(best.tolist())
            )
            top = volume.slices[order[int(best[0])]]
            said = series_finding(label, top, prediction.probabilities[label.name])
            driven[order[int(best[0])]].append(replace(said, slices=keys))
        return driven

    def _n_driving(self, each: NDArray[np.float64], operating_point: float) -> int:
        how = self._spec.aggregation
        if how.method == "top-k-mean":
            return int(min(how.k, len(each), _MOST_KEY_SLICES))
        n_above = np.flatnonzero(each >= operating_point).size
        return int(min(max(1, n_above), _MOST_KEY_SLICES))

    def _with_maps(
        self,
        volume: Volume,
        open_file: Open,
        priority: int,
        said: tuple[Said, Mapping[int, Sequence[Finding]]],
    ) -> tuple[ImageFindings, ...]:
        """Maps and pictures of the slices that will be shown, decoded once more."""
        found, driven = said
        shown = _to_show(driven)
        slices = [(index, volume.slices[index]) for index in shown]
        spec = self._spec
        windows = Windows(spec.ranges[:1], bool(spec.percentiles))
        planes = decoded(self._decoder, open_file, slices, windows, priority)
        pictures = {
            index: plane[0] for index, plane in planes if isinstance(plane, np.ndarray)
        }
        return tuple(
            self._on_slice(
                volume.slices[index], findings, found[index], pictures.get(index)
            )
            for index, findings in sorted(driven.items())
        )

    def _on_slice(
        self,
        one: Slice,
        findings: Sequence[Finding],
        found: Inferred,
        picture: Pixels8 | None,
    ) -> ImageFindings:
        if picture is not None:
            maps = self._bundle.finish(found).activation_maps
            findings = [replace(x, activation_map=maps.get(x.label)) for x in findings]
        return ImageFindings(
            sop_instance_uid=one.sop_instance_uid,
            findings=tuple(findings),
            display=picture,
            frame_number=one.frame_number,
        )


def _keywords(description: bundles.Description) -> list[str]:
    """Header attributes that the bundle's checks and its choice of series ask for."""
    found = dict.fromkeys(one.keyword for one in description.quality if one.keyword)
    series = description.input.series
    if series is not None:
        found |= dict.fromkeys(name for name, _ in (*series.match, *series.exclude))
    return list(found)


def _submit(
    lane: Lane,
    index: int,
    stack: Any,
    kept: tuple[dict[int, Future[Any]], dict[int, str]],
) -> None:
    asked, failed = kept
    if isinstance(stack, Undecodable):
        lane.skip()
        failed[index] = stack.reason
    else:
        asked[index] = lane.submit(stack)


def _made(remarks: Sequence[bundles.Remark], middle: Slice) -> list[Finding]:
    place = middle.sop_instance_uid, middle.frame_number
    return [remarked(one, *place) for one in remarks]


def _without_canvas(found: Inferred) -> Inferred:
    """What is not needed any more would be the whole series in float32."""
    canvas = found.image.canvas
    return replace(found, image=replace(found.image, canvas=canvas.new_empty(0)))


def _key(one: Slice, probability: float) -> KeySlice:
    return KeySlice(
        one.sop_instance_uid,
        one.number,
        probability,
        one.frame_number,
        one.position_mm,
    )


def _to_show(driven: Mapping[int, Sequence[Finding]]) -> list[int]:
    """Slices with a present finding; when there is none, that of the likeliest."""
    present = [
        index
        for index, findings in driven.items()
        if any(one.presence is Presence.PRESENT for one in findings)
    ]
    if present:
        return sorted(present)
    likeliest = max(driven, key=lambda i: max(x.probability or 0 for x in driven[i]))
    return [likeliest]
