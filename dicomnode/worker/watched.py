"""A predictor whose answers a drift monitor watches, once nobody waits for them."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from threading import Lock
from typing import BinaryIO, cast

from dicomnode.domain.findings import (
    BundleFacts,
    ImageFindings,
    NotAnalysed,
    Observation,
)
from dicomnode.domain.instance import Instance
from dicomnode.domain.series import SliceHeader, Volume
from dicomnode.ports import DriftMonitor, Predictor, SeriesPredictor

MOST = 10_000
"""Remembered at most, the latest; each job that ends has them looked at."""


class WatchedPredictor:
    """The Predictor port over another predictor: it answers, and remembers.

    The monitor, which keeps what it knows in a file, looks at it with `settle`.
    """

    def __init__(self, predictor: Predictor, monitor: DriftMonitor) -> None:
        self._predictor = predictor
        self._monitor = monitor
        self._one_at_a_time = Lock()
        self._seen: deque[Observation] = deque(maxlen=MOST)

    def settle(self) -> None:
        """Let the monitor look at what was answered since; from any thread."""
        with self._one_at_a_time:
            n_seen = len(self._seen)
            seen = [self._seen.popleft() for _ in range(n_seen)]
            if seen:
                self._monitor.observe(seen)

    def describe(self) -> BundleFacts:
        """What a report must say about the bundle."""
        return self._predictor.describe()

    def predict(
        self, images: Sequence[tuple[Instance, BinaryIO]], priority: int = 0
    ) -> Sequence[ImageFindings | NotAnalysed]:
        """One answer for each image, in order; raises PredictionFailed."""
        answers = self._predictor.predict(images, priority)
        self._watch(answers)
        return answers

    def survey(
        self,
        uids: Sequence[str],
        open_file: Callable[[str], BinaryIO],
        priority: int = 0,
    ) -> Mapping[str, Sequence[SliceHeader] | str]:
        """The headers of the slices of a series."""
        return self._of_series().survey(uids, open_file, priority)

    def predict_series(
        self, volume: Volume, open_file: Callable[[str], BinaryIO], priority: int = 0
    ) -> Sequence[ImageFindings] | NotAnalysed:
        """The answer for a series, which counts as one image does."""
        answer = self._of_series().predict_series(volume, open_file, priority)
        self._watch([answer] if isinstance(answer, NotAnalysed) else answer)
        return answer

    def _watch(self, answers: Sequence[ImageFindings | NotAnalysed]) -> None:
        self._seen.extend(
            one.observation for one in answers if one.observation is not None
        )

    def _of_series(self) -> SeriesPredictor:
        return cast("SeriesPredictor", self._predictor)
