"""The drift monitor of a pipeline: its file, its log line, its place in status."""

from __future__ import annotations

import json

import numpy as np
import pytest
import structlog

from dicomnode.domain.findings import ImageFindings, NotAnalysed, Observation
from dicomnode.errors import ConfigError
from dicomnode.health.drift import drift_alarms, line_of
from dicomnode.monitoring import FileMonitor
from dicomnode.worker.watched import WatchedPredictor
from model.monitor import OUTSIDE, UNDETERMINED, WINDOW, build_reference


@pytest.fixture(scope="module")
def reference():
    values = {"domain distance": np.random.default_rng(1).normal(0.7, 0.1, 200)}
    return build_reference(values, {OUTSIDE: 0.01, UNDETERMINED: 0.05}).to_dict()


def images(n, distance, station="ACME CR1"):
    random = np.random.default_rng(n)
    return [
        Observation({"domain distance": float(random.normal(distance, 0.1))}, station)
        for _ in range(n)
    ]


def test_home_is_quiet_and_kept(tmp_path, reference):
    with structlog.testing.capture_logs() as logs:
        FileMonitor(tmp_path, "cxr", reference, "a").observe(images(40, 0.7))
    assert logs == []
    stored = json.loads((tmp_path / "cxr.json").read_text("utf-8"))
    assert set(stored["streams"]) == {"all", "station ACME CR1"}
    assert stored["streams"]["all"]["n_images"] == 40
    assert drift_alarms(tmp_path.parent) == []


def test_a_shift_is_logged_once_and_shown(tmp_path, reference):
    folder = tmp_path / "monitor"
    with structlog.testing.capture_logs() as logs:
        for one in images(4 * WINDOW, 1.6):  # a job each, a new worker each time
            FileMonitor(folder, "cxr", reference, "a").observe([one])
    alarms = [line for line in logs if line["event"] == "monitor.alarm"]
    assert alarms
    assert len({line["reason"] for line in alarms}) == len(alarms)
    assert all("commission" in line["remedy"] for line in alarms)
    shown = drift_alarms(tmp_path)
    assert {row["pipeline"] for row in shown} == {"cxr"}
    assert "domain distance" in line_of(shown[0])


def test_a_broken_file_starts_anew_and_a_folder_that_cannot_be_stops_no_job(
    tmp_path, reference
):
    (tmp_path / "cxr.json").write_text("{", "utf-8")
    assert drift_alarms(tmp_path.parent) == []
    with structlog.testing.capture_logs() as logs:
        FileMonitor(tmp_path, "cxr", reference, "a").observe(images(1, 0.7))
    assert [line["event"] for line in logs] == ["monitor.started_anew"]
    (tmp_path / "file").write_text("x", "utf-8")
    with structlog.testing.capture_logs() as logs:
        FileMonitor(tmp_path / "file", "cxr", reference, "a").observe(images(1, 0.7))
    assert [line["event"] for line in logs] == ["monitor.not_kept"]


def test_a_reference_that_is_none_is_told(tmp_path):
    with pytest.raises(ConfigError, match="pack or commission"):
        FileMonitor(tmp_path, "cxr", {"window": 16}, "a")


def test_every_answer_of_the_predictor_is_watched():
    seen = []

    class Monitor:
        def observe(self, images):
            seen.extend(images)

    answers = [
        ImageFindings("1.1", (), observation=Observation({"a": 1.0})),
        NotAnalysed("outside", "1.2", Observation({"a": 2.0}, outside=True)),
        NotAnalysed("no pixels", "1.3"),
    ]

    class Predictor:
        def describe(self):
            return "facts"

        def predict(self, images, priority=0):
            return answers

    watched = WatchedPredictor(Predictor(), Monitor())
    assert watched.describe() == "facts"
    assert watched.predict([]) == answers
    assert seen == []
    watched.settle()
    watched.settle()
    assert [one.values["a"] for one in seen] == [1.0, 2.0]
