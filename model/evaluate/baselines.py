"""What is reached without looking at the anatomy: models of metadata and thumbnails.

Each is fitted across patients: no image is scored by a model that saw its patient.
Where training images are given they take part in the fitting, so that a baseline is
not weak only because the validation part is small.
"""

from __future__ import annotations

import math
from importlib import import_module
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torchvision.transforms.v2 import functional as v2

from model.data.manifest import ManifestError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    Matrix = NDArray[np.float64]
    Truth = NDArray[np.bool_]

_FOLDS = 5
_SEED = 1
_THUMBNAIL = 16


def sklearn(module: str) -> Any:
    """A module of scikit-learn, which is not needed in service."""
    try:
        return import_module(f"sklearn.{module}")
    except ModuleNotFoundError as error:
        raise ManifestError(
            "the shortcut panel needs scikit-learn: pip install 'dicomnode[train]'"
        ) from error


def table(columns: Mapping[str, Sequence[str]]) -> tuple[Matrix, tuple[str, ...]]:
    """Numbers of text columns: (rows, columns that vary), and their names.

    A column of numbers stays one (what is no number there is missing); any other
    becomes the order of its distinct texts.
    """
    names, numbers = [], []
    for name, cells in columns.items():
        if len(set(cells)) > 1:
            names.append(name)
            numbers.append(_numbers(cells))
    shape = (len(next(iter(columns.values()), ())), 0)
    return np.stack(numbers, 1) if numbers else np.empty(shape), tuple(names)


def _numbers(cells: Sequence[str]) -> NDArray[np.float64]:
    parsed = np.array([_number(cell) for cell in cells])
    if not np.isnan(parsed).all():
        return parsed
    order = {text: float(i) for i, text in enumerate(sorted(set(cells)))}
    return np.array([order[cell] for cell in cells])


def _number(cell: str) -> float:
    try:
        return float(cell)
    except ValueError:
        return math.nan


def metadata_model(features: Matrix, positive: Truth, patients: Sequence[str]) -> Any:
    """(n,) scores of gradient boosted trees, each by the folds without its patient."""
    trees = sklearn("ensemble").HistGradientBoostingClassifier(
        max_iter=60,
        max_depth=3,
        min_samples_leaf=10,
        early_stopping=False,
        random_state=_SEED,
    )
    return _cross_fitted(trees, features, positive, patients)


def thumbnail_model(
    thumbnails: Matrix, positive: Truth, patients: Sequence[str]
) -> Any:
    """(n,) scores of a regularised logistic regression on standardised thumbnails."""
    regression = sklearn("pipeline").make_pipeline(
        sklearn("preprocessing").StandardScaler(),
        sklearn("linear_model").LogisticRegression(C=0.01, max_iter=500),
    )
    return _cross_fitted(regression, thumbnails, positive, patients)


def thumbnail(image: NDArray[np.float32]) -> NDArray[np.float64]:
    """Display pixels (rows, columns) -> 256 grey values of a 16 x 16 thumbnail."""
    size = [_THUMBNAIL, _THUMBNAIL]
    small = v2.resize(torch.from_numpy(image)[None], size, antialias=True)
    return np.asarray(small.flatten().numpy(), np.float64)


def _cross_fitted(
    model: Any, features: Matrix, positive: Truth, patients: Sequence[str]
) -> NDArray[np.float64]:
    selection = sklearn("model_selection")
    folds = selection.StratifiedGroupKFold(_FOLDS, shuffle=True, random_state=_SEED)
    scores = np.empty(len(positive))
    for fitted, judged in folds.split(features, positive, groups=list(patients)):
        if len(set(positive[fitted].tolist())) < 2:  # noqa: PLR2004 - nothing to learn
            scores[judged] = 0.5
            continue
        known = model.fit(features[fitted], positive[fitted])
        scores[judged] = known.predict_proba(features[judged])[:, 1]
    return scores
