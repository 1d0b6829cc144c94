"""The bundle's own calibration, operating points and domain, applied to scores."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from model import calibration, metrics

if TYPE_CHECKING:
    from collections.abc import Mapping

    from model.bundle.serve import Bundle
    from model.evaluate.scoring import Scores
    from model.metrics import Figure
    from model.network import Head

    Vector = np.ndarray[tuple[int, ...], np.dtype[np.float64]]
    Truth = np.ndarray[tuple[int, ...], np.dtype[np.bool_]]


class Judge:
    """draws: bootstrap draws of every interval."""

    def __init__(self, bundle: Bundle, draws: int) -> None:
        self._bundle = bundle
        self.engine = bundle.parts.engine
        self.about = f"{bundle.description.name} {bundle.description.version}"
        self.draws = draws
        self.labels = {label.name: label for label in bundle.description.labels}

    def head(self, name: str) -> Head:
        """A head of the network by its name."""
        return next(h for h in self.engine.network.layout if h.name == name)

    def probabilities(self, scores: Scores, name: str) -> Vector:
        """(n, classes) as the bundle gives them, but for its abstaining."""
        return self.of_logits(scores.logits, name)

    def of_logits(self, logits: Mapping[str, Vector], name: str) -> Vector:
        """(n, classes) by the bundle's temperature, from logits of each head."""
        temperature = self._bundle.parts.temperatures[name]
        activation = self.head(name).activation
        return calibration.probabilities(logits[name], activation, temperature)

    def distances(self, scores: Scores) -> Vector:
        """(n,) from the training images, as the domain gate measures it."""
        distances, _ = self._nearest(scores)
        return np.asarray(distances.numpy(), np.float64)

    def refused(self, scores: Scores) -> Truth:
        """Beyond the limit of the domain."""
        return np.asarray(self.distances(scores) > self._bundle.parts.domain.limit)

    def abstained(self, scores: Scores, name: str) -> Truth:
        """Where the head was never trained on the nearest kind of image."""
        known = self._bundle.parts.knows(name)
        return np.array([not known[int(kind)] for kind in self._nearest(scores)[1]])

    def auroc(self, values: Vector, positive: Truth, scores: Scores) -> Figure:
        """With the wider of DeLong's and the patients' interval."""
        return metrics.auroc_figure(values, positive, scores.patients, draws=self.draws)

    def share(self, right: Truth, scores: Scores) -> Figure:
        """Of the images of which something is true."""
        return metrics.share_figure(right, scores.patients, draws=self.draws)

    def calibration(self, scores: Scores, name: str, target: Vector) -> Figure:
        """Calibration error of the most probable class, cross-fitted over patients."""
        fitted = calibration.cross_fitted(
            scores.logits[name], target, self.head(name).activation, scores.patients
        )
        return metrics.calibration_figure(
            *metrics.top_class(fitted, target), scores.patients, draws=self.draws
        )

    def _nearest(self, scores: Scores) -> tuple[torch.Tensor, torch.Tensor]:
        vectors = torch.from_numpy(scores.vectors).float()
        return self._bundle.parts.domain.nearest(vectors)
