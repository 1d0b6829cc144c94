"""A bundle's network behind the batcher: one image's failure is not another's."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import structlog
import torch

from dicomnode.decoder import Decoded, Undecodable
from dicomnode.errors import DeviceLost, PredictionFailed
from model import bundle as bundles

if TYPE_CHECKING:
    from model.bundle.parts import Inferred

_log = structlog.get_logger(__name__)

_NO_MEMORY = ("out of memory", "can't allocate memory", "not enough memory")
MOST = 1 << 16
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
        self.most = MOST

    def prepare(self, image: Any) -> Any:
        """What the network needs of what was prepared, or why it is Unusable."""
        try:
            if isinstance(image, Decoded):
                shape, grey = image.eight_bit.shape, image.statistics
                return self._bundle.prepared(image.given, grey, shape)
            return self._bundle.prepared(image.canvases, image.statistics, image.shape)
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
            message = f"the device {self._device} failed ({first_line(error)})"
            raise DeviceLost(f"{message}; look at the driver's log") from error
        raise _failed(error) from error


def raise_if_passing(passing: Sequence[Unusable]) -> None:
    """Nothing could be answered but something may be later: the job is tried again."""
    if passing:
        message = f"{passing[0].reason}; free memory, or lower worker.batch_size"
        raise PredictionFailed(message)


def _failed(error: Exception) -> PredictionFailed:
    words = first_line(error)
    return PredictionFailed(
        f"the network failed ({words}); see the worker's log, then retry"
    )


def first_line(error: BaseException) -> str:
    """What an error says first, or its name."""
    return (str(error).splitlines() or [type(error).__name__])[0]
