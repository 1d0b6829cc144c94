"""The worker's side of one decoder process: start, ask, replace."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, BinaryIO, TypeVar

import structlog

from dicomnode.decoder import channel
from dicomnode.decoder.decoding import DISPLAY, Decoded, ImageWanted, Undecodable
from dicomnode.decoder.limits import DecodeLimits
from dicomnode.errors import PredictionFailed
from dicomnode.picture import fitting

_Answer = TypeVar("_Answer")
_log = structlog.get_logger(__name__)

MODULE = "dicomnode.decoder.child"
IMAGES = 500
"""Images after which a process is replaced: native decoders leak a little."""

START_SECONDS = 120.0
GRACE_SECONDS = 5.0
"""The process ends itself at its deadline; one that is stopped cannot."""

TRIES = 2
"""An image whose decoder died is given to a second: it may have been no fault of it."""

_PLANE = 2
_SECRETS = ("DICOMNODE_", "AWS_", "PG")
_MEMORY = {
    "MALLOC_MMAP_THRESHOLD_": str(128 << 20),
    "MALLOC_TRIM_THRESHOLD_": str(128 << 20),
    "PILLOW_BLOCKS_MAX": "4",
}
"""What was freed is kept for the next image, up to these sizes (mallopt(3), bytes).

By default it goes back to the system, and each page of it must be asked for and
cleared again: for a radiograph of 2048 x 1792 pixels 7,000 page faults, a third of
the time.
"""


class DecoderProcess:
    """One decoder; used by one thread. It is replaced whenever it has died."""

    def __init__(self, limits: DecodeLimits, module: str = MODULE) -> None:
        self._limits = limits
        self._module = module
        self._n_images = 0
        self._process: subprocess.Popen[bytes] | None = None
        self._channel: socket.socket | None = None

    def decode(
        self, file: BinaryIO, wanted: ImageWanted = DISPLAY
    ) -> Decoded | Undecodable:
        """Have one image decoded; raises PredictionFailed when no process starts."""
        understood = partial(_understood, wanted)
        return self.ask([file], wanted.to_words(), understood)

    def ask(
        self,
        files: Sequence[BinaryIO],
        message: Mapping[str, Any],
        understood: Callable[[dict[str, Any], list[int]], _Answer],
    ) -> _Answer | Undecodable:
        """Send files and a message, and understand the answer, or raise ValueError.

        Undecodable when the process died or took too long, also for several files:
        which of them it was, one may find out by asking for each alone.
        """
        why = ""
        for _ in range(TRIES if len(files) == 1 else 1):
            ours = self.start()
            handles = [channel.file_of(file) for file in files]
            try:
                return understood(*self._asked(ours, handles, message))
            except TimeoutError:
                self.stop()
                return self._too_late()
            except (channel.Closed, OSError, ValueError) as error:
                why = self._death(error)
                if why == signal.SIGALRM.name:
                    return self._too_late()
            finally:
                for handle in handles:
                    os.close(handle)
        return Undecodable(
            f"the decoder crashed on this image ({why}): the object is damaged, "
            "send it again"
        )

    def start(self) -> socket.socket:
        """Have a process that is ready; raises PredictionFailed."""
        if self._channel is not None and self._n_images < IMAGES:
            return self._channel
        self.stop()
        ours, theirs = socket.socketpair()
        with theirs:
            self._process = self._spawned(theirs)
        self._channel, self._n_images = ours, 0
        ours.settimeout(START_SECONDS)
        try:
            channel.receive(ours)
        except (channel.Closed, OSError, ValueError) as error:
            message = f"no decoder can be started ({self._death(error)})"
            raise PredictionFailed(
                f"{message}; see the worker's log, and worker.decode_memory_bytes"
            ) from error
        return ours

    def stop(self) -> None:
        """End the process; it has nothing to save."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
        if self._channel is not None:
            self._channel.close()
        self._process = self._channel = None

    def _spawned(self, theirs: socket.socket) -> subprocess.Popen[bytes]:
        handle = theirs.fileno()
        argv = [sys.executable, "-m", self._module, str(handle)]
        try:
            return subprocess.Popen(  # noqa: S603  # our own interpreter and module
                [*argv, self._limits.to_json()],
                pass_fds=[handle],
                env=_environ(),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
        except OSError as error:
            message = f"no decoder can be started ({error.strerror})"
            raise PredictionFailed(f"{message}; free memory or processes") from error

    def _asked(
        self, ours: socket.socket, handles: list[int], message: Mapping[str, Any]
    ) -> tuple[dict[str, Any], list[int]]:
        self._n_images += len(handles)
        seconds = self._limits.timeout_seconds * len(handles)
        ours.settimeout(seconds + GRACE_SECONDS)
        channel.send(ours, message, *handles)
        said, files = channel.receive(ours)
        if "died" in said:
            raise ValueError(str(said["died"]))
        return said, files

    def _death(self, error: Exception) -> str:
        """What the process died of; it is gone after this."""
        said = str(error) if isinstance(error, ValueError) else ""
        process, code = self._process, None
        if process is not None and not said:
            try:
                code = process.wait(GRACE_SECONDS)
            except subprocess.TimeoutExpired:
                said = "no answer"
        self.stop()
        why = said or _name(code)
        _log.warning("decoder.died", error_type=why, returncode=code)
        return why

    def _too_late(self) -> Undecodable:
        return Undecodable(
            f"it was not decoded within {self._limits.timeout_seconds:g} seconds: the "
            "object is damaged, or raise worker.decode_timeout_seconds"
        )


def _understood(
    wanted: ImageWanted, said: dict[str, Any], files: list[int]
) -> Decoded | Undecodable:
    """What a decoder answers: not trusted, it has read what anyone may send."""
    if not files:
        return Undecodable(str(said.get("reason", "no reason was given")))
    try:
        given, shape = (tuple(map(int, said[name])) for name in ("given", "shape"))
        made = wanted.preparation
        if len(shape) != _PLANE or given != (made.shape if made else shape):
            raise ValueError("the pixels have a shape that nobody asked for")
        rows, columns = (max(1, one) for one in shape)  # none is refused in a moment
        views = [fitting((rows, columns), box)[::-1] for box in wanted.views]
        shapes = [shape, *views]
        floats, shown = channel.from_file(files[0], given, shapes)
        return Decoded(
            floats,
            shown[0],
            str(said["station"]),
            {str(key): str(value) for key, value in dict(said["header"]).items()},
            tuple(map(float, said["statistics"])),
            {str(key): float(value) for key, value in dict(said["measures"]).items()},
            dict(zip(wanted.views, shown[1:], strict=True)),
        )
    except (LookupError, TypeError) as error:
        raise ValueError("the answer is not an image") from error


def _name(code: int | None) -> str:
    if code is None or code >= 0:
        return f"exit status {code}"
    try:
        return signal.Signals(-code).name
    except ValueError:
        return f"signal {-code}"


def _environ() -> dict[str, str]:
    """Ours without secrets; one thread each, there is a process for every core."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(_SECRETS)}
    return {**kept, **_MEMORY, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
