"""A predictor whose answers a drift monitor watches."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from threading import Lock
from typing import BinaryIO, cast

from dicomnode.domain.findings import BundleFacts, ImageFindings, NotAnalysed
from dicomnode.domain.instance import Instance
from dicomnode.domain.series import SliceHeader, Volume
from dicomnode.ports import DriftMonitor, Predictor, SeriesPredictor


class WatchedPredictor:
    """The Predictor port over another predictor: it answers, then the monitor looks."""

    def __init__(self, predictor: Predictor, monitor: DriftMonitor) -> None:
        self._predictor = predictor
        self._monitor = monitor
        self._one_at_a_time = Lock()

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
        seen = [one.observation for one in answers if one.observation is not None]
        if seen:
            with self._one_at_a_time:
                self._monitor.observe(seen)

    def _of_series(self) -> SeriesPredictor:
        return cast("SeriesPredictor", self._predictor)
