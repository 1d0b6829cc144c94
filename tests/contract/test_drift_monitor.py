"""The DriftMonitor port, on the fake and on the one that keeps a file."""

from __future__ import annotations

import math

import pytest
import structlog

from dicomnode.domain.findings import Observation
from dicomnode.monitoring import FileMonitor
from model.monitor import OUTSIDE, UNDETERMINED, WINDOW, build_reference
from tests.contract.fakes import MemoryMonitor

VALUES = [0.6 + 0.002 * i for i in range(100)]


def a_file_monitor(folder):
    rates = {OUTSIDE: 0.01, UNDETERMINED: 0.05}
    reference = build_reference({"domain distance": VALUES}, rates).to_dict()
    return FileMonitor(folder, "cxr", reference, "digest")


@pytest.fixture(params=["memory", "file"])
def monitor(request, tmp_path):
    return MemoryMonitor() if request.param == "memory" else a_file_monitor(tmp_path)


def home(n):
    return [
        Observation({"domain distance": VALUES[7 * i % 100]}, "A") for i in range(n)
    ]


def strange(n, station="B"):
    return [Observation({"domain distance": 9.0}, station, outside=True)] * n


def alarms(monitor, *batches):
    with structlog.testing.capture_logs() as logs:
        for images in batches:
            assert monitor.observe(images) is None
    return [line for line in logs if line["event"] == "monitor.alarm"]


def test_home_raises_no_alarm(monitor):
    assert alarms(monitor, home(3 * WINDOW)) == []


def test_no_image_is_no_news(monitor):
    assert alarms(monitor, [], []) == []


def test_a_shift_is_an_alarm_with_its_remedy(monitor):
    found = alarms(monitor, home(WINDOW), strange(4 * WINDOW))
    assert found
    assert all(line["log_level"] == "warning" and line["remedy"] for line in found)


def test_an_alarm_is_logged_once_while_it_lasts(monitor):
    first = alarms(monitor, strange(4 * WINDOW))
    assert len({line["reason"] for line in first}) == len(first)
    assert alarms(monitor, strange(2 * WINDOW), strange(2 * WINDOW)) == []


def test_the_log_holds_no_text_of_a_data_set(monitor):
    found = alarms(monitor, strange(4 * WINDOW, "ACME CR7"))
    assert found
    assert not any("ACME CR7" in line["reason"] for line in found)


def test_what_is_not_a_number_stops_no_job(monitor):
    odd = Observation({"domain distance": math.nan, "unheard of": 1.0}, "A")
    assert alarms(monitor, [odd] * WINDOW) == []
