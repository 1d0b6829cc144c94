"""The Predictor port over a bundle."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import wait
from dataclasses import dataclass, replace
from pathlib import Path
from time import monotonic
from typing import Any, BinaryIO

import structlog
import torch

from dicomnode.batching import Batcher, Lane
from dicomnode.decoder import (
    Decoded,
    Decoder,
    ImageWanted,
    InThisProcess,
    Undecodable,
)
from dicomnode.domain.findings import (
    BoxSize,
    BundleFacts,
    ImageFindings,
    NotAnalysed,
    Pixels8,
)
from dicomnode.domain.instance import Instance
from dicomnode.domain.series import SliceHeader, Volume
from dicomnode.errors import ConfigError
from dicomnode.interpretation import (
    facts_of,
    interpret,
    observation,
    outside,
    present,
    remarked,
)
from dicomnode.predictor.network import (
    MOST,
    Asked,
    BundleNetwork,
    Unusable,
    first_line,
    raise_if_passing,
)
from dicomnode.predictor.reading import Open
from dicomnode.predictor.series import SeriesReader
from model import bundle as bundles
from model.bundle.gpu import AT_ONCE

_log = structlog.get_logger(__name__)

_MOST_SHOWN = 2
"""Images in a study of which each is fitted in the wanted boxes beforehand."""


@dataclass(frozen=True, slots=True)
class Site:
    """What the site says of its bundles.

    ``public_key``: whose signature bundle and addendum must have. ``addendum``: what
    it re-set. ``running``: how networks are to run; None runs them as packed.
    """

    public_key: Path | None = None
    addendum: Path | None = None
    running: bundles.Wanted | None = None


class BundlePredictor:
    """A bundle, loaded and warm, behind the Predictor port.

    ``decoder`` and ``batcher`` may be shared with
    others; without them images are decoded in this process, and one study at a time
    goes through the network. ``views``: boxes that findings shall show images in, made
    while these are prepared. Raises ConfigError when the bundle is missing, tampered
    with or does not load.
    """

    def __init__(
        self,
        folder: Path,
        device: str = "cpu",
        *,
        site: Site | None = None,
        decoder: Decoder | None = None,
        batcher: Batcher | None = None,
        views: Sequence[BoxSize] = (),
    ) -> None:
        site, began = site or Site(), monotonic()
        try:
            self._bundle = bundles.load(
                folder,
                device,
                public_key=site.public_key,
                addendum=site.addendum,
                running=site.running,
            )
        except (bundles.BundleError, OSError) as error:
            raise ConfigError(f"bundle {folder.name}: {error}") from error
        _say_how_it_runs(self._bundle, monotonic() - began)
        self._checks = self._bundle.description.quality
        self._wanted = ImageWanted(
            tuple(one.keyword for one in self._checks if one.keyword),
            self._bundle.preparation,
            measured=any(one.measure for one in self._checks),
        )
        self._views = tuple(views)
        self._network = BundleNetwork(self._bundle, device)
        self._decoder = decoder or InThisProcess()
        self._batcher = batcher or Batcher(MOST, 0)
        self._series = SeriesReader(
            self._bundle, self._network, self._decoder, self._batcher
        )

    @property
    def reference(self) -> tuple[Mapping[str, Any], str] | None:
        """Drift reference, and the digest of what it was made with; None without."""
        said = self._bundle.description
        if not said.reference:
            return None
        return said.reference, f"{said.digest} {said.parameters['commissioned']}"

    def describe(self) -> BundleFacts:
        """What a report must say about the bundle."""
        found = facts_of(self._bundle.description)
        runs = {"arithmetic": str(self._bundle.arithmetic)}
        return replace(found, parameters={**found.parameters, **runs})

    def predict(
        self, images: Sequence[tuple[Instance, BinaryIO]], priority: int = 0
    ) -> Sequence[ImageFindings | NotAnalysed]:
        """One answer for each image, in order; raises PredictionFailed."""
        files = [file for _, file in images]
        # Of many images one is shown, and nobody knows yet which.
        some = self._views if len(images) <= _MOST_SHOWN else ()
        wanted = replace(self._wanted, views=some)
        decoding = self._decoder.decode(files, priority, wanted)
        with self._batcher.lane(self._network, len(images), priority) as lane:
            try:
                asked = [_asked(lane, one.result()) for one in decoding]
            finally:
                wait(decoding)  # the caller closes the files after this
        _raise_if_none_but_later(asked)
        return [
            self._said(instance, one)
            for (instance, _), one in zip(images, asked, strict=True)
        ]

    def survey(
        self, uids: Sequence[str], open_file: Open, priority: int = 0
    ) -> Mapping[str, Sequence[SliceHeader] | str]:
        """SOP Instance UID -> headers of its slices, or why there are none."""
        return self._series.survey(uids, open_file, priority)

    def predict_series(
        self, volume: Volume, open_file: Open, priority: int = 0
    ) -> Sequence[ImageFindings] | NotAnalysed:
        """One answer for a series, on the slices that drove it; as `predict` raises."""
        return self._series.predict(volume, open_file, priority)

    def _said(self, instance: Instance, asked: Asked) -> ImageFindings | NotAnalysed:
        if isinstance(asked, Undecodable):
            return NotAnalysed(asked.reason, instance.sop_instance_uid)
        decoded, answer = asked
        found = answer.result()
        if isinstance(found, Unusable):
            return NotAnalysed(found.reason, instance.sop_instance_uid)
        # Here and not in the network's thread, which goes on with the next batch.
        return self._answer(instance, decoded, self._bundle.finish(found))

    def _answer(
        self, instance: Instance, decoded: Decoded, prediction: bundles.Prediction
    ) -> ImageFindings | NotAnalysed:
        description = self._bundle.description
        seen = observation(description.labels, prediction, decoded.station)
        remarks = bundles.remarks(self._checks, decoded.measures, decoded.header)
        if not prediction.in_domain:
            why = "; ".join([outside(prediction), *present(remarks)])
            return NotAnalysed(why, instance.sop_instance_uid, seen)
        eight_bit: Pixels8 = decoded.eight_bit
        said = interpret(description, instance, eight_bit, prediction)
        made = tuple(remarked(one, instance.sop_instance_uid) for one in remarks)
        findings = said.findings + made
        return replace(said, findings=findings, observation=seen, views=decoded.views)


def choose_device(wanted: str) -> str:
    """``auto`` is the GPU if one works, else the CPU; raises ConfigError."""
    if wanted == "cpu":
        return wanted
    device = "cuda" if wanted == "auto" else wanted
    if _works(device):
        return device
    if wanted == "auto":
        return "cpu"
    message = f"worker.device is {wanted}, but torch finds no usable GPU"
    raise ConfigError(f'{message}; check the driver, or set device = "cpu"')


def batches_at_once(device: str) -> int:
    """Batches that a network on this device takes side by side."""
    return 1 if device == "cpu" else AT_ONCE


def limit_threads(threads: int) -> None:
    """Use at most ``threads`` CPU threads for inference; 0 leaves it to torch."""
    if threads:
        torch.set_num_threads(threads)


def _say_how_it_runs(bundle: Any, seconds: float) -> None:
    name, runs = bundle.description.name, bundle.arithmetic.to_dict()
    for reason in runs.pop("refused"):
        _log.warning("worker.runner_refused", bundle=name, error=reason)
    _log.info("worker.runner", bundle=name, warm_seconds=round(seconds, 2), **runs)


def _works(device: str) -> bool:
    """Whether the device is there and computes: a lost one may still be listed."""
    if not torch.cuda.is_available():
        return False
    try:
        return float(torch.ones(2, device=device).sum()) == 2.0  # noqa: PLR2004
    except (RuntimeError, AssertionError) as error:
        _log.warning("worker.device_failed", device=device, error=first_line(error))
        return False


def _asked(lane: Lane, found: Decoded | Undecodable) -> Asked:
    if isinstance(found, Undecodable):
        lane.skip()
        return found
    return found, lane.submit(found)


def _raise_if_none_but_later(asked: Sequence[Asked]) -> None:
    """Nothing could be answered and something may be later: the job is tried again."""
    answers = [one[1].result() for one in asked if not isinstance(one, Undecodable)]
    passing = [one for one in answers if isinstance(one, Unusable) and one.passing]
    if len(passing) == len(answers):
        raise_if_passing(passing)
