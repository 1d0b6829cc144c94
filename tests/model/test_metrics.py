"""Figures against scikit-learn, worked examples and properties."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score, roc_curve

from model import calibration, metrics


@given(seed=st.integers(0, 10_000), n=st.integers(4, 80), ties=st.integers(1, 30))
@settings(max_examples=40, deadline=None)
def test_auroc_equals_scikit_learn_with_ties(seed, n, ties):
    random = np.random.default_rng(seed)
    scores = random.integers(0, ties, n).astype(float)
    positive = random.random(n) < 0.4
    positive[:2] = [True, False]
    expected = roc_auc_score(positive, scores)
    assert metrics.auroc(scores, positive) == pytest.approx(expected, abs=1e-6)
    assert metrics.delong(scores, positive)[0] == pytest.approx(expected, abs=1e-6)


def test_roc_points_equal_scikit_learn():
    random = np.random.default_rng(3)
    scores, positive = random.integers(0, 9, 60).astype(float), random.random(60) < 0.5
    false, true, _ = roc_curve(positive, scores, drop_intermediate=False)
    assert np.allclose(metrics.roc(scores, positive), np.stack([false, true], 1))


def test_one_class_has_no_auroc():
    assert math.isnan(metrics.auroc(np.ones(3), np.ones(3, bool)))


def test_delong_worked_by_hand():
    # positives 0.9, 0.6, 0.4; negatives 0.5, 0.3. Placements of the positives among
    # negatives: 1, 1, 1/2; of the negatives: 1/3 lost for 0.5, none for 0.3.
    scores = np.array([0.9, 0.6, 0.4, 0.5, 0.3])
    positive = np.array([True, True, True, False, False])
    area, variance = metrics.delong(scores, positive)
    assert area == pytest.approx(5 / 6)
    of_positives = np.var([1, 1, 0.5], ddof=1) / 3
    of_negatives = np.var([2 / 3, 1], ddof=1) / 2
    assert variance == pytest.approx(of_positives + of_negatives)


def test_delong_variance_is_that_of_repeated_samples():
    random = np.random.default_rng(1)
    areas, variances = [], []
    positive = np.arange(80) < 30
    for _ in range(300):
        scores = random.normal(size=80) + positive
        area, variance = metrics.delong(scores, positive)
        areas.append(area)
        variances.append(variance)
    assert np.mean(variances) == pytest.approx(np.var(areas), rel=0.2)


def test_perfect_separation_does_not_claim_certainty():
    scores, positive = np.arange(40.0), np.arange(40) >= 20
    low, high = metrics.delong_interval(scores, positive)
    assert (low, high) == (pytest.approx(0.85), 1)


def test_wilson_known_values():
    assert metrics.wilson(9, 10) == pytest.approx((0.59585, 0.98212), abs=1e-4)
    assert metrics.wilson(0, 10)[0] == 0
    assert metrics.wilson(10, 10)[1] == 1
    assert math.isnan(metrics.wilson(0, 0)[0])


def test_bootstrap_draws_patients_not_images():
    values = np.repeat([0.0, 1.0], 50)
    alone = [str(i) for i in range(100)]
    clustered = ["a"] * 50 + ["b"] * 50
    narrow = metrics.bootstrap(lambda i: values[i].mean(), alone, draws=300)
    wide = metrics.bootstrap(lambda i: values[i].mean(), clustered, draws=300)
    assert narrow[1] - narrow[0] < 0.3
    assert wide == (0, 1)
    assert narrow == metrics.bootstrap(lambda i: values[i].mean(), alone, draws=300)


def test_none_at_all_still_has_an_interval():
    figure = metrics.share_figure(np.zeros(30, bool), [str(i) for i in range(30)])
    assert (figure.value, figure.low) == (0, 0)
    assert 0.1 < figure.high < 0.15


def test_all_right_still_has_an_interval():
    figure = metrics.share_figure(np.ones(30, bool), [str(i) for i in range(30)])
    assert (figure.value, figure.high) == (1, 1)
    assert 0.85 < figure.low < 0.9
    assert str(figure).startswith("1.0000 [0.8")


def test_calibration_error_by_hand():
    p = np.array([0.1, 0.1, 0.9, 0.9])
    assert metrics.calibration_error(p, np.array([0.0, 0, 1, 1]), 2) == pytest.approx(
        0.1
    )
    assert metrics.calibration_error(p, np.array([1.0, 1, 0, 0]), 2) == pytest.approx(
        0.9
    )


@pytest.mark.parametrize("activation", ["softmax", "sigmoid"])
@pytest.mark.parametrize("true", [0.8, 2.5])
def test_temperature_is_recovered(activation, true):
    random = np.random.default_rng(5)
    logits = random.normal(0, 2, (6000, 3 if activation == "softmax" else 1))
    p = calibration.probabilities(logits, activation, true)
    if activation == "softmax":
        drawn = (random.random((6000, 1)) > p.cumsum(1)).sum(1)
        target = np.eye(3)[np.minimum(drawn, 2)]
    else:
        target = (random.random(p.shape) < p).astype(float)
    found = calibration.fit_temperature(logits, target, activation)
    assert found == pytest.approx(true, rel=0.1)


def test_separated_data_stop_at_the_bound():
    logits = np.array([[9.0], [-9.0]])
    target = np.array([[1.0], [0.0]])
    assert calibration.fit_temperature(logits, target, "sigmoid") == pytest.approx(0.5)


def test_cross_fitting_never_uses_the_patient_itself():
    random = np.random.default_rng(6)
    logits, patients = random.normal(size=(40, 2)), [str(i) for i in range(40)]
    right = np.where(random.random(40) < 0.7, logits.argmax(1), logits.argmin(1))
    target = np.eye(2)[right]
    before = calibration.cross_fitted(logits, target, "softmax", patients)
    order = sorted(patients)
    side = np.array([order.index(p) % 2 for p in patients])
    flipped = np.where((side == 0)[:, None], 1 - target, target)
    after = calibration.cross_fitted(logits, flipped, "softmax", patients)
    assert np.array_equal(before[side == 0], after[side == 0])
    assert not np.array_equal(before[side == 1], after[side == 1])
