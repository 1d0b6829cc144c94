"""Is this image like those the model knows? Class-conditional Mahalanobis distance.

The vector of an image is the network's pooled features, of unit length, and a few
statistics of its grey values (`model.preparation`). Each kind of training image
(source, view, rotation, inversion) has its own mean; all share one covariance, shrunk
towards its diagonal. The distance is the smallest one to any mean, divided by the
square root of the dimension, so that about 1 is usual whatever the network.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from torch import Tensor

    Vectors = NDArray[np.float64]


class Judged(NamedTuple):
    """One image: its distance, the limit of it, the nearest home kind, and whether
    the site's own images are nearer than home's (each measured by its limit).
    """

    distance: float
    limit: float
    kind: int
    at_site: bool


@dataclass(frozen=True)
class Domain:
    """whitening: (dimension, dimension). means: (kinds, dimension), whitened.

    limit: distance beyond which an image is refused. kinds: `source/view/...` of each
    mean. site_mean: (dimension,), whitened, with its own site_limit, once a site has
    commissioned the bundle.
    """

    whitening: Tensor
    means: Tensor
    limit: float
    kinds: tuple[str, ...]
    site_mean: Tensor | None = None
    site_limit: float = 0.0

    def whitened(self, vectors: Tensor) -> Tensor:
        """(batch, dimension) -> the same in units of the home covariance, float64."""
        return vectors.double() @ self.whitening.double()

    def nearest(self, vectors: Tensor) -> tuple[Tensor, Tensor]:
        """(batch, dimension) -> distance to the nearest kind, and which it is."""
        distance, kind = torch.cdist(self.whitened(vectors), self.means.double()).min(1)
        return distance / vectors.shape[1] ** 0.5, kind

    def judge(self, vectors: Tensor) -> list[Judged]:
        """(batch, dimension) -> one answer each, at home or at the site."""
        distances, kinds = self.nearest(vectors)
        home = [
            Judged(float(distance), self.limit, int(kind), at_site=False)
            for distance, kind in zip(distances, kinds, strict=True)
        ]
        if self.site_mean is None:
            return home
        away = self.whitened(vectors) - self.site_mean.double()
        site = away.norm(dim=1) / vectors.shape[1] ** 0.5
        return [
            one._replace(distance=here, limit=self.site_limit, at_site=True)
            if here * one.limit < one.distance * self.site_limit
            else one
            for one, here in zip(home, site.tolist(), strict=True)
        ]

    @property
    def sources(self) -> tuple[str, ...]:
        """Source of each kind."""
        return tuple(kind.split("/", 1)[0] for kind in self.kinds)


def fit(
    vectors: Vectors, kinds: Sequence[str], shrinkage: float
) -> tuple[Tensor, Tensor, tuple[str, ...]]:
    """Whitening, whitened means and their kinds, from training vectors (n, d)."""
    names = sorted(set(kinds))
    member = np.array([names.index(kind) for kind in kinds])
    means = np.stack([vectors[member == i].mean(0) for i in range(len(names))])
    residual = vectors - means[member]
    covariance = residual.T @ residual / max(1, len(vectors) - len(names))
    diagonal = np.diag(np.diag(covariance))
    floor = 1e-9 * max(np.trace(covariance) / len(covariance), 1e-12)
    shrunk = (1 - shrinkage) * covariance + shrinkage * diagonal
    shrunk += floor * np.eye(len(covariance))
    # inverse of the Cholesky factor: rows of x @ W then have unit covariance
    whitening = np.linalg.inv(np.linalg.cholesky(shrunk)).T
    white = torch.from_numpy(np.ascontiguousarray(whitening)).float()
    return white, torch.from_numpy(means @ whitening).float(), tuple(names)
