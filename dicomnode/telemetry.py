"""Logs: one line for each unit of work, on standard output, and never a patient.

Only the fields of ``FIELDS``, and numbers whose names say their unit, leave a process;
what else was passed is dropped, and its name is listed so that the loss is seen.
Libraries are heard from WARNING up, and never with their values: pydicom quotes the
attributes it complains of.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import threading
import traceback
import warnings
from collections.abc import MutableMapping
from contextlib import nullcontext, suppress
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Any, TextIO

import structlog
from structlog.typing import EventDict, ExcInfo, Processor

from dicomnode.domain.printable import printable
from dicomnode.errors import DicomNodeError

FIELDS = frozenset(
    {
        "address",
        "at",
        "attempts",
        "bundle",
        "called_ae_title",
        "calling_ae_title",
        "child_pid",
        "chore",
        "destination",
        "device",
        "dropped",
        "error",
        "error_type",
        "event",
        "failures",
        "host",
        "job_id",
        "largest_difference",
        "level",
        "logger",
        "outcome",
        "pid",
        "pipeline",
        "pipelines",
        "port",
        "precision",
        "reason",
        "remedy",
        "result_kind",
        "retry_at",
        "returncode",
        "revision",
        "role",
        "runner",
        "seconds",
        "series_instance_uid",
        "signal",
        "sop_class_uid",
        "sop_instance_uid",
        "state",
        "status",
        "study_instance_uid",
        "tls_port",
        "trace",
        "transfer_syntax_uid",
        "version",
        "worker_id",
    }
)
"""Every field that a log line may hold."""

_UNITS = ("_seconds", "_days", "_bytes", "_mm", "_percent")
_COUNT = "n_"
_QUOTING = ("pydicom", "py.warnings", "pynetdicom")
"""Loggers, with all below them, whose messages hold values of data sets."""
_INTERNAL = frozenset({"_record", "_from_structlog"})


def configure(
    role: str, log_format: str, level: str, stream: TextIO | None = None
) -> None:
    """Log to ``stream`` (standard output) from now on, with role and pid on every line.

    ``log_format`` is json or console; ``level`` debug, info, warning or error.
    """
    target = sys.stdout if stream is None else stream
    handler = _bridge(target, role, log_format, level.upper())
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.stdlib.filter_by_level,
            structlog.stdlib.add_log_level,
            _identity(role),
            *_shared(),
            *_rendering(log_format, target),
            _writing(handler),
        ],
        wrapper_class=structlog.stdlib.BoundLogger,
        # Of a name there is one logger, and to ask for it again takes a lock each line.
        logger_factory=cache(structlog.stdlib.LoggerFactory()),
        cache_logger_on_first_use=False,
    )
    _bridge(target, role, log_format, level.upper())
    sys.excepthook = _log_uncaught
    threading.excepthook = _log_uncaught_in_thread


def _writing(handler: logging.StreamHandler[TextIO]) -> Processor:
    """Write lines of ours as ``handler`` does those of libraries, between them.

    By way of a record of logging, which is made and formatted first, a line takes twice
    as long, and there is one for each image.
    """

    def write(_logger: object, _method: str, line: EventDict) -> EventDict:
        # As there, what cannot be written is not (logging.raiseExceptions).
        with handler.lock or nullcontext(), suppress(OSError, ValueError):
            handler.stream.write(f"{line}\n")
            handler.flush()
        raise structlog.DropEvent

    return write


def _bridge(
    stream: TextIO, role: str, log_format: str, level: str
) -> logging.StreamHandler[TextIO]:
    """The handler of what libraries log."""
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[
                structlog.contextvars.merge_contextvars,
                structlog.stdlib.add_log_level,
                _withhold_values,
            ],
            processors=[_identity(role), *_shared(), *_rendering(log_format, stream)],
        )
    )
    # Else a line that cannot be written, because the disk is full, is printed to
    # standard error as it was given, before anything was withheld from it.
    logging.raiseExceptions = False
    # Nothing of these is in a line of ours, and each costs one to find out.
    logging.logThreads = logging.logProcesses = False
    logging.logMultiprocessing = False
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(logging.WARNING)
    for ours in ("dicomnode", "model"):
        logging.getLogger(ours).setLevel(level)
    logging.captureWarnings(capture=True)
    warnings.filterwarnings("ignore", module=r"pydicom(\..*)?")
    return handler


def _shared() -> list[Processor]:
    return [
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="at"),
        _describe_exception,
        allow_listed,
    ]


def _rendering(log_format: str, stream: TextIO) -> list[Processor]:
    if log_format == "json":
        return [_json]
    colours = stream.isatty() and not os.environ.get("NO_COLOR")
    renderer = structlog.dev.ConsoleRenderer(colors=colours, timestamp_key="at")
    return [_printable, renderer]


# Made once: to make one takes as long as to encode a line.
_encode = json.JSONEncoder(default=str).encode


def _json(_logger: object, _method: str, event: EventDict) -> str:
    return _encode(event)


def _printable(_logger: object, _method: str, event: EventDict) -> EventDict:
    """On one line, and nothing that a terminal would obey; JSON sees to it itself."""
    for key, value in event.items():
        if isinstance(value, str):
            event[key] = printable(value).replace("\n", "\\n")
    return event


def _identity(role: str) -> Processor:
    def add(_logger: object, _method: str, event: EventDict) -> EventDict:
        # The pid at every line and not once: a fork would inherit its parent's.
        event.setdefault("role", role)
        event["pid"] = os.getpid()
        return event

    return add


def allow_listed(_logger: object, _method: str, event: EventDict) -> EventDict:
    """Drop what may not be logged; ``dropped`` lists the names."""
    # Nearly always nothing is left to look at.
    unknown = event.keys() - FIELDS
    dropped = sorted(key for key in unknown if not _measured(key, event[key]))
    for key in dropped:
        del event[key]
    named = [key for key in dropped if key not in _INTERNAL]
    if named:
        event["dropped"] = named
    return event


def _measured(key: str, value: object) -> bool:
    named = key.startswith(_COUNT) or key.endswith(_UNITS)
    return named and isinstance(value, int | float)


def _withhold_values(
    _logger: object, _method: str, event: MutableMapping[str, Any]
) -> MutableMapping[str, Any]:
    """What a library says that quotes data sets: where it was said, not what."""
    record: logging.LogRecord = event["_record"]
    if f"{record.name}.".startswith(tuple(f"{name}." for name in _QUOTING)):
        event["event"] = f"{record.name} complains at {_place(record)}; values withheld"
    return event


def _place(record: logging.LogRecord) -> str:
    if record.name == "py.warnings":  # its text begins with "path:line: Category: "
        path, _, rest = record.getMessage().partition(":")
        return f"{Path(path).name}:{rest.partition(':')[0]}"
    return f"{Path(record.pathname).name}:{record.lineno}"


def _log_uncaught(
    kind: type[BaseException], error: BaseException, trace: TracebackType | None
) -> None:
    """Python would print the text of the exception, and that may quote a data set."""
    structlog.get_logger(__name__).error("crashed", exc_info=(kind, error, trace))


def _log_uncaught_in_thread(args: threading.ExceptHookArgs) -> None:
    if args.exc_value is not None:
        _log_uncaught(args.exc_type, args.exc_value, args.exc_traceback)


def _describe_exception(_logger: object, _method: str, event: EventDict) -> EventDict:
    """Type and places of an exception; its text only when we wrote it ourselves."""
    exc_info = _exc_info(event.pop("exc_info", None))
    if exc_info is None:
        return event
    kind, error, trace = exc_info
    event["error_type"] = kind.__name__
    event["trace"] = _places(trace)
    if isinstance(error, DicomNodeError):
        event.setdefault("error", str(error))
    return event


def _exc_info(given: object) -> ExcInfo | None:
    if isinstance(given, BaseException):
        return type(given), given, given.__traceback__
    found = given if isinstance(given, tuple) else sys.exc_info() if given else None
    return found if found and found[0] is not None else None


def _places(trace: TracebackType | None) -> list[str]:
    return [
        f"{Path(frame.filename).name}:{frame.lineno} {frame.name}"
        for frame in traceback.extract_tb(trace)
    ]
