"""Ranking, comparison and thresholds against oracles, and worked published examples."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import (
    average_precision_score,
    brier_score_loss,
    f1_score,
    precision_recall_curve,
)
from torchmetrics.functional.classification import binary_calibration_error

from model import metrics

# Hanley and McNeil, Radiology 1982;143:29-36, table I: computed tomography of 58 normal
# and 51 abnormal patients, rated from 1 (definitely normal) to 5.
NORMAL, ABNORMAL = (33, 6, 6, 11, 2), (3, 2, 2, 11, 33)


def rated():
    ratings = np.arange(1.0, 6.0)
    scores = np.r_[np.repeat(ratings, NORMAL), np.repeat(ratings, ABNORMAL)]
    return scores, np.arange(109) >= 58


def sample(seed, n=120):
    random = np.random.default_rng(seed)
    positive = random.random(n) < 0.35
    positive[:2] = [True, False]
    return random, positive


def test_delong_on_the_example_of_hanley_and_mcneil():
    """As `roctab disease rating` prints it for these data (Stata's `webuse hanley`,
    Base Reference Manual, [R] roctab, whose default standard error is DeLong's).
    """
    area, variance = metrics.delong(*rated())
    error = math.sqrt(variance)
    assert area == pytest.approx(0.8932, abs=5e-5)
    assert error == pytest.approx(0.0307, abs=5e-5)
    assert area - 1.959964 * error == pytest.approx(0.83295, abs=1e-5)
    assert area + 1.959964 * error == pytest.approx(0.95339, abs=1e-5)


@given(seed=st.integers(0, 10_000), ties=st.integers(1, 40))
@settings(max_examples=20, deadline=None)
def test_average_precision_equals_scikit_learn(seed, ties):
    random, positive = sample(seed, 60)
    scores = random.integers(0, ties, 60).astype(float)
    expected = average_precision_score(positive, scores)
    assert metrics.average_precision(scores, positive) == pytest.approx(
        expected, abs=1e-6
    )


def test_precision_and_recall_equal_scikit_learn():
    random, positive = sample(1)
    scores = random.integers(0, 12, len(positive)).astype(float)
    precision, recall, _ = precision_recall_curve(positive, scores)
    ours = np.array(metrics.precision_recall(scores, positive))
    theirs = np.stack([recall, precision], 1)[:-1][::-1]
    assert np.allclose(ours, theirs)


def test_no_positive_has_no_average_precision():
    assert math.isnan(metrics.average_precision(np.ones(3), np.zeros(3, bool)))


@pytest.mark.parametrize("seed", range(5))
def test_paired_delong_equals_its_definition(seed):
    random, positive = sample(seed)
    first = random.integers(0, 9, len(positive)) + 3.0 * positive
    second = first + random.integers(-4, 5, len(positive))

    def kernel(scores):
        x, y = scores[positive][:, None], scores[~positive][None]
        return (x > y) + 0.5 * (x == y)

    gap = kernel(first) - kernel(second)
    m, n = gap.shape
    variance = gap.mean(1).var(ddof=1) / m + gap.mean(0).var(ddof=1) / n
    difference, error, p = metrics.delong_paired(first, second, positive)
    assert difference == pytest.approx(gap.mean(), abs=1e-12)
    assert error == pytest.approx(math.sqrt(variance), abs=1e-12)
    assert p == pytest.approx(math.erfc(abs(difference / error) / 2**0.5))


def test_paired_test_is_right_as_often_as_it_says():
    hits, repeats = 0, 200
    for seed in range(repeats):
        random, positive = sample(seed, 80)
        signal = positive + random.normal(size=80)
        pair = [signal + 0.7 * random.normal(size=80) for _ in range(2)]
        hits += metrics.delong_paired(*pair, positive)[2] < 0.05
    assert abs(hits / repeats - 0.05) < 3 * math.sqrt(0.05 * 0.95 / repeats)


def test_two_models_that_rank_alike_do_not_differ():
    scores, positive = rated()
    found = metrics.paired_auroc(
        scores, 10 * scores, positive, [str(i) for i in range(109)], draws=50
    )
    assert found.p_delong == 1
    assert (found.difference.low, found.difference.value) == (0, 0)
    assert all(math.isnan(x) for x in metrics.delong_paired(scores, scores, scores > 9))


def test_paired_bootstrap_sees_a_difference_that_single_intervals_hide():
    random, positive = sample(3, 200)
    patients = [str(i // 2) for i in range(200)]
    base = random.normal(size=200) + positive
    better = base + 0.25 * positive
    found = metrics.paired_auroc(better, base, positive, patients, draws=300)
    alone = [
        metrics.auroc_figure(s, positive, patients, draws=300) for s in (better, base)
    ]
    assert alone[0].low < alone[1].high
    assert found.difference.low > 0
    assert found.p_delong < 0.05


def test_holm_by_hand():
    corrected = metrics.holm({"a": 0.04, "b": 0.01, "c": math.nan, "d": 0.03})
    assert list(corrected) == ["a", "b", "c", "d"]
    assert corrected["b"] == pytest.approx(0.03)
    assert corrected["d"] == pytest.approx(0.06)
    assert corrected["a"] == pytest.approx(0.06)  # never below the one before it
    assert math.isnan(corrected["c"])


def test_equal_mass_error_equals_torchmetrics_where_bins_are_alike():
    """torchmetrics has bins of equal width: with as many images in each, the same."""
    random = np.random.default_rng(2)
    p = (np.arange(400) + 0.5) / 400
    positive = (random.random(400) < p**2).astype(float)
    theirs = binary_calibration_error(
        torch.from_numpy(p), torch.from_numpy(positive).int(), n_bins=10, norm="l1"
    )
    assert metrics.calibration_error(p, positive) == pytest.approx(
        float(theirs), abs=1e-6
    )
    assert metrics.brier(p, positive) == pytest.approx(brier_score_loss(positive, p))


def test_reliability_bins_are_of_equal_mass():
    p = np.r_[np.full(50, 0.1), np.linspace(0.5, 0.9, 50)]
    bins = metrics.reliability(p, (p > 0.4).astype(float), 4)
    assert [one.n for one in bins] == [25] * 4
    assert bins[0].share == 0
    assert bins[3].low < bins[3].share == 1


def test_rates_by_hand_and_a_rate_of_nothing():
    scores = np.array([0.9, 0.8, 0.3, 0.6, 0.2, 0.1])
    positive = np.array([True, True, True, False, False, False])
    patients = [str(i) for i in range(6)]
    found = metrics.rates(scores, positive, patients, 0.5, draws=50)
    values = {name: figure.value for name, figure in found.items()}
    assert values == pytest.approx(
        {"sensitivity": 2 / 3, "specificity": 2 / 3, "PPV": 2 / 3, "NPV": 2 / 3}
    )
    low, high = metrics.wilson(2, 3)
    assert found["sensitivity"].low <= low
    assert found["sensitivity"].high >= high
    none = metrics.rates(scores, positive, patients, 2.0, draws=50)["PPV"]
    assert math.isnan(none.value)
    assert none.n == 0


def brute(scores, positive, worth):
    """Greatest worth over every way to cut the scores."""
    cuts = np.unique(scores)
    return max(worth(metrics.counts(scores, positive, cut)) for cut in cuts)


RULES = {
    ("youden", 0.0): lambda c: sens(c) + spec(c),
    ("sensitivity", 0.9): lambda c: spec(c) if sens(c) >= 0.9 else -1,
    ("specificity", 0.8): lambda c: sens(c) if spec(c) >= 0.8 else -1,
    ("cost", 5.0): lambda c: -(5 * c.false_negative + c.false_positive),
}


def sens(c):
    return c.true_positive / (c.true_positive + c.false_negative)


def spec(c):
    return c.true_negative / (c.true_negative + c.false_positive)


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("seed", range(4))
def test_each_rule_takes_the_best_cut_there_is(rule, seed):
    random, positive = sample(seed)
    scores = np.round(random.normal(size=len(positive)) + positive, 1)
    threshold = metrics.choose(scores, positive, *rule)
    worth = RULES[rule]
    got = worth(metrics.counts(scores, positive, threshold))
    assert got == pytest.approx(brute(scores, positive, worth))


def test_greatest_f1_equals_scikit_learn():
    random, positive = sample(9, 40)
    scores = random.normal(size=len(positive)) + positive
    threshold = metrics.choose(scores, positive, "max-f1")
    best = max(f1_score(positive, scores >= cut) for cut in scores)
    assert f1_score(positive, scores >= threshold) == pytest.approx(best)


def test_threshold_of_separated_scores_lies_between_them():
    scores, positive = np.array([0.1, 0.2, 0.8, 0.9]), np.array([0, 0, 1, 1], bool)
    choice = metrics.choose_with_interval(
        scores, positive, list("abcd"), ("youden", 0.0), draws=100
    )
    assert choice.threshold == pytest.approx(0.5)
    assert choice.low <= 0.5 <= choice.high
    assert math.isnan(metrics.choose(scores, np.ones(4, bool), "youden"))


@pytest.mark.parametrize(
    ("rule", "amount", "hint"),
    [
        ("best", 0.0, "use youden"),
        ("sensitivity", 95, "give one above 0"),
        ("cost", 0.0, "give one above 0"),
    ],
)
def test_rules_that_make_no_sense_are_refused(rule, amount, hint):
    with pytest.raises(ValueError, match=hint):
        metrics.choose(*rated(), rule, amount)


def test_net_benefit_by_hand():
    p = np.array([0.9, 0.6, 0.4, 0.1])
    positive = np.array([True, False, True, False])
    # at 0.5: one true and one false positive of four, odds 1
    assert metrics.net_benefit(p, positive, [0.5]) == pytest.approx([0])
    # at 0.2: two true, one false, odds 1/4
    assert metrics.net_benefit(p, positive, [0.2]) == pytest.approx([0.5 - 0.0625])
    assert metrics.net_benefit_of_all(0.5, [0.2]) == pytest.approx([0.5 - 0.125])


def test_bootstrap_interval_covers_as_often_as_it_says():
    covered, repeats = 0, 60
    for seed in range(repeats):
        random = np.random.default_rng(seed)
        of_patient = np.repeat(random.normal(size=40), 3)  # three alike images each
        values = of_patient + 0.2 * random.normal(size=120)
        patients = [str(i // 3) for i in range(120)]
        low, high = metrics.bootstrap(
            lambda rows, values=values: values[rows].mean(), patients, draws=100
        )
        covered += low <= 0 <= high
    assert 0.85 <= covered / repeats <= 0.99
