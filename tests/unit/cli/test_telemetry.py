"""Logs: what they hold, and that nothing of a patient gets into them."""

from __future__ import annotations

import io
import json
import logging
import os
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import Any

import pytest
import structlog
from pydicom.dataset import Dataset

from dicomnode import telemetry
from dicomnode.errors import ConfigError

SECRET = "DOE^JOHN"

Lines = Callable[[], list[dict[str, Any]]]


@pytest.fixture(autouse=True)
def put_back() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    hooks = sys.excepthook, threading.excepthook
    with warnings.catch_warnings():
        yield
    root.handlers, root.level = handlers, level
    sys.excepthook, threading.excepthook = hooks
    logging.captureWarnings(capture=False)
    structlog.reset_defaults()


@pytest.fixture
def lines() -> Lines:
    stream = io.StringIO()
    telemetry.configure("work", "json", "info", stream)
    return lambda: [json.loads(line) for line in stream.getvalue().splitlines()]


def test_a_line_says_when_who_and_what(lines: Lines) -> None:
    structlog.get_logger("dicomnode.worker").info("job.worked", job_id="j", n_images=2)
    (line,) = lines()
    at = datetime.fromisoformat(line.pop("at"))
    assert at.utcoffset() == timedelta(0)
    assert line == {
        "event": "job.worked",
        "level": "info",
        "logger": "dicomnode.worker",
        "role": "work",
        "pid": os.getpid(),
        "job_id": "j",
        "n_images": 2,
    }


def test_fields_that_are_not_listed_are_dropped_and_named(lines: Lines) -> None:
    structlog.get_logger("dicomnode").info(
        "x", patient_name=SECRET, dataset={"PatientID": SECRET}, n_names=SECRET
    )
    (line,) = lines()
    assert line["dropped"] == ["dataset", "n_names", "patient_name"]
    assert SECRET not in json.dumps(line)


def test_every_thread_logs_its_role(lines: Lines) -> None:
    log = structlog.get_logger("dicomnode")
    thread = threading.Thread(target=lambda: log.info("x"))
    thread.start()
    thread.join()
    assert lines()[0]["role"] == "work"


def test_an_exception_is_its_type_and_places(lines: Lines) -> None:
    log = structlog.get_logger("dicomnode")
    try:
        int(SECRET)
    except ValueError:
        log.exception("job.crashed")
    (line,) = lines()
    assert line["error_type"] == "ValueError"
    assert line["trace"][-1].startswith("test_telemetry.py:")
    assert SECRET not in json.dumps(line)


def test_our_own_errors_keep_their_message(lines: Lines) -> None:
    error = ConfigError("wrong; correct it")
    structlog.get_logger("dicomnode").error("x", exc_info=error)
    assert lines()[0]["error"] == "wrong; correct it"


def test_libraries_are_heard_from_warning_up(lines: Lines) -> None:
    logging.getLogger("apscheduler").info("quiet")
    logging.getLogger("apscheduler").warning("missed %s", "a run")
    (line,) = lines()
    assert (line["event"], line["logger"]) == ("missed a run", "apscheduler")


@pytest.mark.parametrize("name", ["pynetdicom", "pynetdicom.acse", "pydicom"])
def test_libraries_that_quote_data_sets_lose_their_words(
    lines: Lines, name: str
) -> None:
    logging.getLogger(name).error(SECRET)
    (line,) = lines()
    assert line["event"].startswith(f"{name} complains at test_telemetry.py:")
    assert SECRET not in json.dumps(line)


def test_pydicom_quotes_no_value(lines: Lines) -> None:
    ds = Dataset()
    ds.SOPInstanceUID = SECRET
    warnings.simplefilter("default")
    warnings.warn(SECRET, stacklevel=1)
    first, second = lines()
    assert first["event"].startswith("pydicom complains at ")
    assert second["event"].startswith("py.warnings complains at test_telemetry.py:")
    assert SECRET not in json.dumps([first, second])


def test_what_nobody_caught_is_a_line_too(lines: Lines) -> None:
    try:
        int(SECRET)
    except ValueError as error:
        sys.excepthook(ValueError, error, error.__traceback__)

    def crash() -> None:
        raise ValueError(SECRET)

    thread = threading.Thread(target=crash)
    thread.start()
    thread.join()
    first, second = lines()
    assert first["event"] == second["event"] == "crashed"
    assert second["trace"][-1].endswith("crash")
    assert SECRET not in json.dumps([first, second])


@pytest.mark.parametrize(
    ("level", "expected"), [("debug", 3), ("info", 2), ("error", 1)]
)
def test_level(level: str, expected: int) -> None:
    stream = io.StringIO()
    telemetry.configure("keep", "json", level, stream)
    log = structlog.get_logger("dicomnode.x")
    log.debug("a")
    log.info("b")
    log.error("c")
    assert len(stream.getvalue().splitlines()) == expected


def test_the_console_is_for_eyes() -> None:
    stream = io.StringIO()
    telemetry.configure("keep", "console", "info", stream)
    structlog.get_logger("dicomnode.x").info("study.routed", revision=2)
    text = stream.getvalue()
    assert "study.routed" in text
    assert "revision=2" in text
    assert "\x1b[" not in text


def test_configuring_again_does_not_double_the_lines() -> None:
    streams = io.StringIO(), io.StringIO()
    for stream in streams:
        telemetry.configure("keep", "json", "info", stream)
    structlog.get_logger("dicomnode").info("x")
    assert streams[0].getvalue() == ""
    assert len(streams[1].getvalue().splitlines()) == 1
