"""The Predictor port over a bundle: the only importer of torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import Future, wait
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, TypeAlias

import structlog
import torch

from dicomnode.batching import Batcher, Lane
from dicomnode.decoder import Decoded, Decoder, InThisProcess, Undecodable
from dicomnode.domain.findings import (
    BundleFacts,
    ImageFindings,
    NotAnalysed,
    Pixels8,
)
from dicomnode.domain.instance import Instance
from dicomnode.errors import ConfigError, DeviceLost, PredictionFailed
from dicomnode.interpretation import (
    facts_of,
    interpret,
    observation,
    outside,
    present,
    remarked,
)
from model import bundle as bundles
from model.bundle.gpu import AT_ONCE

if TYPE_CHECKING:
    from model.bundle.serve import Inferred

_log = structlog.get_logger(__name__)

_NO_MEMORY = ("out of memory", "can't allocate memory", "not enough memory")
_MOST = 1 << 16
OUT_OF_MEMORY = "the network needs more memory for this image than there is"
NOT_A_NUMBER = "the network's output for this image is not a number"


@dataclass(frozen=True, slots=True)
class Unusable:
    """Why the network has no answer for one image; ``passing`` if it may have later."""

    reason: str
    passing: bool = False


Answer: TypeAlias = "Inferred | Unusable"
Asked: TypeAlias = "tuple[Decoded, Future[Answer]] | Undecodable"


class BundleNetwork:
    """A loaded bundle's network, batched: one image's failure is not another's."""

    def __init__(self, bundle: Any, device: str) -> None:
        self._bundle = bundle
        self._device = device
        self.most = _MOST

    def prepare(self, image: Any) -> Any:
        """What the network needs of display pixels, or why they are Unusable."""
        try:
            return self._bundle.prepare(image)
        except bundles.BundleError as error:
            return Unusable(str(error))
        except (MemoryError, RuntimeError) as error:
            self._raise_unless_memory(error)
            return Unusable(OUT_OF_MEMORY, passing=True)

    def run(self, prepared: Sequence[Any]) -> Sequence[Answer]:
        """One answer for each; raises PredictionFailed, DeviceLost."""
        usable = [one for one in prepared if not isinstance(one, Unusable)]
        answers = iter(self._run(usable) if usable else ())
        return [one if isinstance(one, Unusable) else next(answers) for one in prepared]

    def _run(self, prepared: Sequence[Any]) -> list[Answer]:
        try:
            return list(self._bundle.infer(prepared))
        except bundles.NonFinite:
            return self._halved(prepared, Unusable(NOT_A_NUMBER))
        except bundles.BundleError as error:
            raise _failed(error) from error
        except (MemoryError, RuntimeError) as error:
            self._raise_unless_memory(error)
        if self._device.startswith("cuda"):
            torch.cuda.empty_cache()
        self.most = max(1, len(prepared) // 2)
        _log.warning("worker.out_of_memory", device=self._device, n_images=self.most)
        return self._halved(prepared, Unusable(OUT_OF_MEMORY, passing=True))

    def _halved(self, prepared: Sequence[Any], alone: Unusable) -> list[Answer]:
        """The two halves by themselves, until the guilty image is alone."""
        if len(prepared) == 1:
            return [alone]
        half = len(prepared) // 2
        return self._run(prepared[:half]) + self._run(prepared[half:])

    def _raise_unless_memory(self, error: Exception) -> None:
        words = str(error).lower()
        if isinstance(error, MemoryError | torch.OutOfMemoryError) or any(
            one in words for one in _NO_MEMORY
        ):
            return
        if self._device.startswith("cuda"):
            message = f"the device {self._device} failed ({_first_line(error)})"
            raise DeviceLost(f"{message}; look at the driver's log") from error
        raise _failed(error) from error


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
    goes through the network. Raises ConfigError when the bundle is missing, tampered
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
    ) -> None:
        site = site or Site()
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
        _say_how_it_runs(self._bundle)
        self._checks = self._bundle.description.quality
        self._network = BundleNetwork(self._bundle, device)
        self._decoder = decoder or InThisProcess()
        self._batcher = batcher or Batcher(_MOST, 0)

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
        wanted = [one.keyword for one in self._checks if one.keyword]
        decoding = self._decoder.decode([file for _, file in images], priority, wanted)
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
        remarks = bundles.remarks(self._checks, decoded.display, decoded.header)
        if not prediction.in_domain:
            why = "; ".join([outside(prediction), *present(remarks)])
            return NotAnalysed(why, instance.sop_instance_uid, seen)
        eight_bit: Pixels8 = decoded.eight_bit
        said = interpret(description, instance, eight_bit, prediction)
        made = tuple(remarked(one, instance) for one in remarks)
        return replace(said, findings=said.findings + made, observation=seen)


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


def _say_how_it_runs(bundle: Any) -> None:
    name, runs = bundle.description.name, bundle.arithmetic.to_dict()
    for reason in runs.pop("refused"):
        _log.warning("worker.runner_refused", bundle=name, error=reason)
    _log.info("worker.runner", bundle=name, **runs)


def _works(device: str) -> bool:
    """Whether the device is there and computes: a lost one may still be listed."""
    if not torch.cuda.is_available():
        return False
    try:
        return float(torch.ones(2, device=device).sum()) == 2.0  # noqa: PLR2004
    except (RuntimeError, AssertionError) as error:
        _log.warning("worker.device_failed", device=device, error=_first_line(error))
        return False


def _asked(lane: Lane, found: Decoded | Undecodable) -> Asked:
    if isinstance(found, Undecodable):
        lane.skip()
        return found
    return found, lane.submit(found.display)


def _raise_if_none_but_later(asked: Sequence[Asked]) -> None:
    """Nothing could be answered and something may be later: the job is tried again."""
    answers = [one[1].result() for one in asked if not isinstance(one, Undecodable)]
    passing = [one for one in answers if isinstance(one, Unusable) and one.passing]
    if passing and len(passing) == len(answers):
        message = f"{passing[0].reason}; free memory, or lower worker.batch_size"
        raise PredictionFailed(message)


def _failed(error: Exception) -> PredictionFailed:
    words = _first_line(error)
    return PredictionFailed(
        f"the network failed ({words}); see the worker's log, then retry"
    )


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
