"""Is the role in this container alive? Exit status 0 or 1; needs nothing but Python.

The receiver is asked by a connection that is closed at once: it never becomes an
association, and the receiver keeps no trace of it. Other roles end when they cannot go
on, and what they do is seen in the worklist: `dicomnode status`.
"""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Mapping, Sequence
from contextlib import closing
from http.client import HTTPConnection, HTTPException
from pathlib import Path

SECONDS = 3.0
DICOM_PORT, WEB_PORT = 11112, 8080
HERE = "127.0.0.1"


def is_alive(command: Sequence[str], environ: Mapping[str, str]) -> bool:
    """Whether what ``command`` started answers."""
    if "receive" in command:
        return receiver_answers(environ)
    if "web" in command:
        return pages_answer(environ)
    if "run" in command:
        return receiver_answers(environ) and pages_answer(environ)
    return True


def receiver_answers(environ: Mapping[str, str]) -> bool:
    """Whether the receiver takes a connection."""
    port = int(environ.get("DICOMNODE_RECEIVER__PORT", DICOM_PORT))
    try:
        socket.create_connection((HERE, port), SECONDS).close()
    except OSError:
        return False
    return True


def pages_answer(environ: Mapping[str, str]) -> bool:
    """Whether /healthz says that the pages live."""
    port = int(environ.get("DICOMNODE_WEB__PORT", WEB_PORT))
    with closing(HTTPConnection(HERE, port, timeout=SECONDS)) as connection:
        try:
            connection.request("GET", "/healthz")
            return connection.getresponse().status == 200  # noqa: PLR2004  # OK
        except (OSError, HTTPException):
            return False


if __name__ == "__main__":
    words = Path("/proc/1/cmdline").read_text(encoding="utf-8").split("\0")
    sys.exit(0 if is_alive(words, os.environ) else 1)
