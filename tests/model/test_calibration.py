"""Temperature, Platt, isotonic, prevalence; and guarantees that must be kept."""

from __future__ import annotations

import math

import numpy as np
import pytest
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression

from model import calibration
from model.calibration.conformal import binomial_tail
from model.calibration.logistic import logit, sigmoid


def sample(n, seed, *, prevalence=0.3, apart=2.0):
    """Probabilities that are right: two normal populations of log odds."""
    random = np.random.default_rng(seed)
    positive = random.random(n) < prevalence
    x = random.normal(size=n) + apart * positive
    odds = apart * x - apart**2 / 2 + math.log(prevalence / (1 - prevalence))
    return sigmoid(odds), positive


def test_platt_equals_scikit_learn_on_its_smoothed_targets():
    p, positive = sample(500, 1)
    x = 3 * logit(p) + 1
    n = positive.sum()
    high, low = (n + 1) / (n + 2), 1 / (500 - n + 2)
    weight = np.where(positive, high, low)
    oracle = LogisticRegression(C=np.inf, tol=1e-10, max_iter=1000)
    oracle.fit(
        np.r_[x, x][:, None],
        np.r_[np.ones(500), np.zeros(500)],
        sample_weight=np.r_[weight, 1 - weight],
    )
    line = calibration.fit_platt(x, positive.astype(float))
    assert line.slope == pytest.approx(oracle.coef_[0, 0], abs=1e-6)
    assert line.intercept == pytest.approx(oracle.intercept_[0], abs=1e-6)
    assert line.probabilities(x).mean() == pytest.approx(weight.mean(), abs=1e-6)


def test_slope_and_intercept_of_right_and_of_overconfident_probabilities():
    p, positive = sample(20_000, 2)
    slope, intercept = calibration.slope_and_intercept(p, positive.astype(float))
    assert slope == pytest.approx(1, abs=0.06)
    assert intercept == pytest.approx(0, abs=0.06)
    loud = sigmoid(2 * logit(p))
    assert calibration.slope_and_intercept(
        loud, positive.astype(float)
    ).slope == pytest.approx(slope / 2, abs=1e-6)
    shifted = sigmoid(logit(p) - 1)
    assert calibration.slope_and_intercept(
        shifted, positive.astype(float)
    ).intercept == pytest.approx(intercept + 1, abs=1e-6)


def test_what_has_no_finite_value_is_not_a_number():
    p = np.array([0.1, 0.2, 0.8, 0.9])
    assert math.isnan(
        calibration.slope_and_intercept(p, np.array([0.0, 0, 1, 1])).slope
    )
    assert math.isnan(calibration.slope_and_intercept(p, np.ones(4)).intercept)


def test_isotonic_equals_scikit_learn():
    p, positive = sample(1500, 3)
    scores = np.round(p, 2)  # with ties
    steps = calibration.fit_isotonic(scores, positive.astype(float))
    oracle = IsotonicRegression(out_of_bounds="clip").fit(scores, positive)
    grid = np.linspace(-0.1, 1.1, 400)
    assert np.allclose(steps.probabilities(grid), oracle.predict(grid), atol=1e-6)
    assert len(steps.x) < 101


def test_rich_calibration_of_few_images_is_refused():
    p, positive = sample(299, 4)
    with pytest.raises(ValueError, match="use fit_temperature"):
        calibration.fit_platt(p, positive.astype(float))
    with pytest.raises(ValueError, match="use fit_platt"):
        calibration.fit_isotonic(p, positive.astype(float))


def test_prior_shift_is_bayes_and_is_found_without_labels():
    p, _ = sample(4000, 5, prevalence=0.3)
    elsewhere, positive = sample(4000, 6, prevalence=0.05)
    # what a model made at 0.3 says of the images of a place with 0.05
    said = calibration.shift_prior(elsewhere, 0.05, 0.3)
    back = calibration.shift_prior(said, 0.3, 0.05)
    assert np.allclose(back, elsewhere)
    assert calibration.local_prevalence(said, 0.3) == pytest.approx(
        positive.mean(), abs=0.015
    )
    assert calibration.local_prevalence(p, 0.3) == pytest.approx(0.3, abs=0.03)
    with pytest.raises(ValueError, match="shares"):
        calibration.shift_prior(p, 0.3, 5)


def classes_and_probabilities(n, seed):
    p, positive = sample(n, seed, prevalence=0.2)
    return np.stack([1 - p, p], 1), positive.astype(int)


def test_conformal_covers_each_class_within_two_standard_errors():
    miss, calibrated, judged, repeats = 0.1, 400, 2000, 60
    found = []
    for seed in range(repeats):
        p, classes = classes_and_probabilities(calibrated, 2 * seed)
        quantiles = calibration.class_quantiles(p, classes, miss)
        p, classes = classes_and_probabilities(judged, 2 * seed + 1)
        sets = calibration.prediction_sets(p, quantiles)
        found.append(calibration.coverage(sets, classes))
    mean, error = np.mean(found, 0), np.std(found, 0, ddof=1) / math.sqrt(repeats)
    least_class = 0.2 * calibrated  # the overshoot of ceil((n + 1)(1 - miss))
    assert (mean >= 1 - miss - 2 * error).all()
    assert (mean <= 1 - miss + 1 / least_class + 2 * error).all()


def test_a_class_without_images_is_in_every_set():
    p, classes = classes_and_probabilities(50, 7)
    quantiles = calibration.class_quantiles(p, np.zeros_like(classes), 0.1)
    sets = calibration.prediction_sets(p, quantiles)
    assert sets[:, 1].all()
    assert calibration.certain(np.array([[0, 0], [1, 0], [1, 1]])).tolist() == [
        False,
        True,
        False,
    ]


def test_conformal_quantile_by_hand():
    # of 9 images the rank is ceil(10 * 0.8) = 8: the second strangest
    p = np.linspace(0.1, 0.9, 9)
    quantiles = calibration.class_quantiles(
        np.stack([p, 1 - p], 1), np.zeros(9, int), 0.2
    )
    assert quantiles[0] == pytest.approx(0.8)


def test_triage_keeps_its_promise_as_often_as_it_says():
    npv, ppv, risk, repeats = 0.97, 0.8, 0.1, 80
    p, positive = sample(50_000, 99)  # stands for the population
    broken, groups = np.zeros(2), np.zeros(2)
    for seed in range(repeats):
        triage = calibration.fit_triage(*sample(600, seed), npv=npv, ppv=ppv, risk=risk)
        said = triage(p)
        low, high = said == calibration.LOW, said == calibration.HIGH
        groups += low.mean() / repeats, high.mean() / repeats
        broken += (
            low.any() and (~positive[low]).mean() < npv,
            high.any() and positive[high].mean() < ppv,
        )
    slack = 2 * math.sqrt(risk * (1 - risk) / repeats)
    assert (broken / repeats <= risk + slack).all()
    assert (groups > 0.1).all()  # and it is of use: not all are uncertain


def test_triage_that_cannot_be_shown_calls_everything_uncertain():
    p, positive = sample(20, 8)
    triage = calibration.fit_triage(p, positive, npv=0.999, ppv=0.999)
    assert (triage(p) == calibration.UNCERTAIN).all()
    with pytest.raises(ValueError, match="shares"):
        calibration.fit_triage(p, positive, npv=99, ppv=0.9)


def test_easy_data_have_no_image_both_low_and_high():
    p = np.linspace(0, 1, 1000)
    triage = calibration.fit_triage(p, p > 0.5, npv=0.9, ppv=0.5)
    assert triage.low < triage.high


def test_binomial_tail_by_hand():
    assert binomial_tail(2, 3, 0.5) == pytest.approx(0.5)
    assert binomial_tail(0, 9, 0.3) == pytest.approx(1)
    assert binomial_tail(9, 9, 0.3) == pytest.approx(0.3**9)
