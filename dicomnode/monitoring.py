"""The drift monitor of a pipeline, kept in a file that its workers share.

`<data_dir>/monitor/<pipeline>.json` holds the running windows and what alarms now:
scores, statistics of grey values and names of machines, nothing of a patient. Workers
of one machine take turns by a lock; on several machines each watches its own share.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import structlog

from dicomnode.domain.findings import Observation
from dicomnode.errors import ConfigError
from model import monitor

_log = structlog.get_logger(__name__)
_DIGEST_LENGTH = 4
REMEDY = (
    "look at the images of this station and what changed there; if they are right,"
    " commission the bundle (`dicomnode model commission`)"
)


class FileMonitor:
    """The DriftMonitor port over `model.monitor`; raises ConfigError.

    reference: of the bundle or its site addendum; digest: of both, so that a new one
    starts with empty windows.
    """

    def __init__(
        self, folder: Path, pipeline: str, reference: Mapping[str, Any], digest: str
    ) -> None:
        self._path = folder / f"{pipeline}.json"
        self._pipeline = pipeline
        self._digest = digest
        try:
            self._reference = monitor.Reference.from_dict(reference)
        except (KeyError, TypeError, ValueError) as error:
            message = f"the drift reference of {pipeline} is not understood ({error})"
            raise ConfigError(f"{message}; pack or commission the bundle again") from (
                error
            )

    def observe(self, images: Sequence[Observation]) -> None:
        """Take images in, in order; an alarm is logged once. Never stops a job."""
        try:
            with _locked(self._path.with_suffix(".lock")):
                self._observe(images)
        except OSError as error:
            _log.warning(
                "monitor.not_kept",
                pipeline=self._pipeline,
                error=str(error.strerror),
                remedy="make the folder monitor in node.data_dir writable",
            )

    def _observe(self, images: Sequence[Observation]) -> None:
        watching = monitor.Monitor(self._reference, self._digest)
        watching.restore(self._stored())
        new = [
            alarm
            for one in images
            for alarm in watching.observe(
                one.station,
                monitor.Observed(dict(one.values), one.outside, one.undetermined),
            )
        ]
        _write(self._path, {"pipeline": self._pipeline, **watching.to_dict()})
        for alarm in new:
            _log.warning(
                "monitor.alarm",
                pipeline=self._pipeline,
                reason=f"{_unnamed(alarm.stream)}: {alarm.what}: {alarm.measure} "
                f"{alarm.value:g}, limit {alarm.limit:g}",
                remedy=REMEDY,
            )

    def _stored(self) -> Mapping[str, Any]:
        try:
            found = json.loads(self._path.read_text("utf-8"))
        except FileNotFoundError:
            return {}
        except ValueError:
            _log.warning("monitor.started_anew", pipeline=self._pipeline)
            return {}
        return found if isinstance(found, dict) else {}


def _unnamed(stream: str) -> str:
    """A stream for the log, where no text of a data set may stand.

    A station is a digest there; `dicomnode status` has its name from the file.
    """
    kind, space, station = stream.partition(" ")
    digest = hashlib.sha256(station.encode()).hexdigest()[:_DIGEST_LENGTH]
    return f"{kind} {digest}" if space else stream


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _write(path: Path, table: Mapping[str, Any]) -> None:
    part = path.with_suffix(".part")
    with part.open("w", encoding="utf-8") as file:
        json.dump(table, file)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)
