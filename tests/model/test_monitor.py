"""Drift: quiet at home, loud when the input changes, whatever the moment."""

from __future__ import annotations

import json

import numpy as np
import pytest

from model.monitor import (
    OUTSIDE,
    UNDETERMINED,
    WINDOW,
    Monitor,
    Observed,
    Reference,
    build_reference,
)

RATES = {OUTSIDE: 0.01, UNDETERMINED: 0.05}


@pytest.fixture(scope="module")
def home():
    """Values of 300 images: two views, a share that is mostly zero, a distance."""
    random = np.random.default_rng(1)
    two_views = np.concatenate([random.normal(-4, 1, 150), random.normal(5, 2, 150)])
    white = np.where(random.random(300) < 0.6, 0, random.random(300) * 0.1)
    return {
        "score view": two_views,
        "image white share": white,
        "domain distance": random.gamma(20, 0.04, 300),
    }


@pytest.fixture(scope="module")
def reference(home):
    return build_reference(home, RATES)


def drawn(home, random, shift=None):
    """One image of home, or of a site where values have moved."""
    index = int(random.integers(300))
    values = {name: float(column[index]) for name, column in home.items()}
    values |= {name: values[name] + by for name, by in (shift or {}).items()}
    return Observed(values, bool(random.random() < 0.01), bool(random.random() < 0.05))


def test_home_is_quiet_for_ten_thousand_studies(home, reference):
    random = np.random.default_rng(2)
    monitor = Monitor(reference, "a")
    alarms = [
        a for _ in range(10_000) for a in monitor.observe("", drawn(home, random))
    ]
    assert len(alarms) <= 1


@pytest.mark.parametrize("before", [0, 1, 7, 15])
def test_a_shift_is_flagged_within_fifty_studies_whenever_it_begins(
    home, reference, before
):
    random = np.random.default_rng(3 + before)
    monitor = Monitor(reference, "a")
    for _ in range(before):
        assert monitor.observe("", drawn(home, random)) == []
    moved = {"domain distance": 0.8}
    found = [
        a for _ in range(50) for a in monitor.observe("", drawn(home, random, moved))
    ]
    assert {alarm.what for alarm in found} == {"domain distance"}
    assert all(alarm.value > alarm.limit for alarm in found)


def test_one_odd_window_is_no_alarm_and_an_alarm_is_told_once(home, reference):
    random = np.random.default_rng(4)
    monitor = Monitor(reference, "a")
    moved = {"domain distance": 2.0}

    def window(shift):
        return [
            alarm
            for _ in range(WINDOW)
            for alarm in monitor.observe("", drawn(home, random, shift))
        ]

    assert window(moved) == []
    assert window(None) == []
    assert window(moved) == []
    assert window(moved) != []
    assert window(moved) == []
    assert monitor.alarms
    window(None)
    assert monitor.alarms  # one quiet window does not end it
    window(None)
    assert monitor.alarms == []


def test_rates_alarm_too(home, reference):
    monitor = Monitor(reference, "a")
    random = np.random.default_rng(5)
    found = []
    for _ in range(2 * WINDOW):
        one = drawn(home, random)
        found += monitor.observe("", Observed(one.values, random.random() < 0.5, False))
    assert {alarm.what for alarm in found} == {OUTSIDE}


def test_a_station_is_watched_on_its_own(home, reference):
    """A quarter of the images come from a machine that has changed."""
    random = np.random.default_rng(6)
    monitor = Monitor(reference, "a")
    for index in range(8 * WINDOW):
        changed = index % 4 == 0
        shift = {"score view": 30.0} if changed else None
        monitor.observe("B" if changed else "A", drawn(home, random, shift))
    assert {alarm.stream for alarm in monitor.alarms} >= {"station B"}
    assert "station A" not in {alarm.stream for alarm in monitor.alarms}


def test_the_state_survives_a_restart_and_not_another_model(home, reference):
    random = np.random.default_rng(7)
    images = [drawn(home, random, {"domain distance": 2.0}) for _ in range(2 * WINDOW)]
    whole = Monitor(reference, "a")
    for one in images:
        whole.observe("A", one)
    parts = Monitor(reference, "a")
    for one in images:
        stored = json.loads(json.dumps(parts.to_dict()))
        parts = Monitor(reference, "a")
        parts.restore(stored)
        parts.observe("A", one)
    assert parts.to_dict() == whole.to_dict()
    assert whole.alarms
    other = Monitor(reference, "b")
    other.restore(whole.to_dict())
    assert other.streams == {}


def test_a_reference_goes_through_json(reference):
    again = Reference.from_dict(json.loads(json.dumps(reference.to_dict())))
    assert again == reference
    with pytest.raises(ValueError, match="window"):
        Reference.from_dict({**reference.to_dict(), "window": 3})


def test_a_value_that_is_missing_or_no_number_is_not_compared(reference):
    monitor = Monitor(reference, "a")
    for _ in range(3 * WINDOW):
        assert monitor.observe("", Observed({"score view": float("nan")})) == []


def test_limits_hold_for_a_small_reference_too(home):
    """Commissioning gives 40 images: the limits know that."""
    random = np.random.default_rng(8)
    chosen = random.choice(300, 40, replace=False)
    small = {name: column[chosen] for name, column in home.items()}
    monitor = Monitor(build_reference(small, RATES), "a")
    alarms = [a for _ in range(1000) for a in monitor.observe("", drawn(home, random))]
    assert alarms == []
