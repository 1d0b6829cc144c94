"""What home looks like: reference distributions and the limits of a window."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    Vector = NDArray[np.float64]

WINDOW = 16
FALSE_RATE = 0.002
_MOST_BINS, _LEAST_BINS = 10, 4
_IMAGES_PER_BIN = 8
_DRAWS = 20_000
_SEED = 20_26
_ABSENT_SHARE = 0.5
_LEAST_RATE = 0.01


@dataclass(frozen=True)
class Feature:
    """Home distribution of one value: inner bin edges, share of each bin, limits."""

    edges: tuple[float, ...]
    shares: tuple[float, ...]
    psi_limit: float
    ks_limit: float

    def compare(self, values: Sequence[float]) -> tuple[float, float]:
        """PSI and KS of a window against the reference."""
        counts = _counts(np.asarray(values, np.float64), np.asarray(self.edges))
        return distances(counts[None], np.asarray(self.shares))[0]

    def to_dict(self) -> dict[str, Any]:
        """As stored in the bundle."""
        return {
            "edges": list(self.edges),
            "shares": list(self.shares),
            "psi_limit": self.psi_limit,
            "ks_limit": self.ks_limit,
        }


@dataclass(frozen=True)
class Reference:
    """What home looks like. rates: name -> share of home images.

    rate_limits: the largest usual count of each in one window.
    """

    n_images: int
    features: Mapping[str, Feature]
    rates: Mapping[str, float]

    @property
    def rate_limits(self) -> dict[str, int]:
        """Counts in a window that chance exceeds less often than FALSE_RATE."""
        return {name: _count_limit(rate) for name, rate in self.rates.items()}

    def to_dict(self) -> dict[str, Any]:
        """As stored in the bundle or the site addendum."""
        features = {name: one.to_dict() for name, one in sorted(self.features.items())}
        return {
            "n_images": self.n_images,
            "window": WINDOW,
            "features": features,
            "rates": dict(sorted(self.rates.items())),
        }

    @classmethod
    def from_dict(cls, stored: Mapping[str, Any]) -> Reference:
        """The stored reference; KeyError, TypeError or ValueError when it is none."""
        if stored["window"] != WINDOW:
            raise ValueError(f"drift window of {stored['window']}, not {WINDOW} images")
        features = {
            str(name): Feature(
                tuple(map(float, one["edges"])),
                tuple(map(float, one["shares"])),
                float(one["psi_limit"]),
                float(one["ks_limit"]),
            )
            for name, one in stored["features"].items()
        }
        rates = {str(name): float(rate) for name, rate in stored["rates"].items()}
        return cls(int(stored["n_images"]), features, rates)


def build_reference(
    values: Mapping[str, Sequence[float] | Vector], rates: Mapping[str, float]
) -> Reference:
    """values: name -> one number per home image. Deterministic."""
    n_images = len(next(iter(values.values())))
    features = {name: _feature(np.asarray(one)) for name, one in values.items()}
    return Reference(n_images, features, rates)


def distances(counts: Vector, shares: Vector) -> list[tuple[float, float]]:
    """PSI and KS of windows against a reference.

    counts: (windows, bins). shares: (bins,), or (windows, bins) each with its own.
    """
    n = counts.sum(1, keepdims=True)
    share = counts / n
    # an empty bin counts as half an image, so that its logarithm exists
    floor = _ABSENT_SHARE / n
    here, home = np.maximum(share, floor), np.maximum(shares, floor)
    psi = ((here - home) * np.log(here / home)).sum(1)
    ks = np.abs(np.cumsum(share - shares, 1)).max(1)
    return list(zip(psi.tolist(), ks.tolist(), strict=True))


def _feature(values: Vector) -> Feature:
    n_bins = int(np.clip(len(values) // _IMAGES_PER_BIN, _LEAST_BINS, _MOST_BINS))
    inner = np.quantile(values, np.arange(1, n_bins) / n_bins)
    edges = np.unique(np.round(inner, 6))
    shares = _counts(values, edges) / len(values)
    psi_limit, ks_limit = _limits(shares, len(values))
    return Feature(
        tuple(edges.tolist()),
        tuple(np.round(shares, 6).tolist()),
        round(psi_limit, 4),
        round(ks_limit, 4),
    )


def _counts(values: Vector, edges: Vector) -> Vector:
    # a value on an edge belongs to the bin above it, also when many values are equal
    bins = np.searchsorted(edges, values, side="right")
    return np.bincount(bins, minlength=len(edges) + 1).astype(np.float64)


def _limits(shares: Vector, n_reference: int) -> tuple[float, float]:
    """PSI and KS that a window of home exceeds with probability FALSE_RATE.

    The reference is a sample too: draw it and the window from the same shares.
    """
    random = np.random.default_rng(_SEED)
    reference = random.multinomial(n_reference, shares, _DRAWS) / n_reference
    windows = random.multinomial(WINDOW, shares, _DRAWS).astype(np.float64)
    drawn = np.asarray(distances(windows, reference))
    psi, ks = np.quantile(drawn, 1 - FALSE_RATE, axis=0, method="higher")
    return float(psi), float(ks)


def _count_limit(rate: float) -> int:
    p = max(rate, _LEAST_RATE)
    beyond = 1.0
    for count in range(WINDOW + 1):
        beyond -= math.comb(WINDOW, count) * p**count * (1 - p) ** (WINDOW - count)
        if beyond <= FALSE_RATE:
            return count
    return WINDOW
