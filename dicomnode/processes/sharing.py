"""What a receiver process is told that shares its port with others."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

from dicomnode.config import Config

VARIABLE = "DICOMNODE_RECEIVER_SHARE"


@dataclass(frozen=True, slots=True)
class Share:
    """``process``: our number among them, from 0. ``board``: a file descriptor.

    ``port`` and ``tls_port`` are those in use where the configuration lets the system
    choose; 0: there is none.
    """

    process: int
    board: int
    port: int
    tls_port: int = 0

    def environ(self) -> dict[str, str]:
        """The environment variable that tells a process so."""
        return {VARIABLE: f"{self.process},{self.board},{self.port},{self.tls_port}"}


def share_of(environ: Mapping[str, str] = os.environ) -> Share | None:
    """Our share, if a parent has given us one."""
    given = environ.get(VARIABLE)
    return Share(*map(int, given.split(","))) if given else None


def leads(config: Config) -> bool:
    """Whether this process starts the receivers instead of being one."""
    return config.receiver.processes > 1 and share_of() is None
