"""Our own receiver, and the roles beside it, as a site would start them."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from dicomnode.demo.program import Program, wait_until

CALLING, CALLED = "BENCH_SCU", "BENCH_SCP"
_START_SECONDS = 60.0
_LISTENING = "0A"
_CONFIG = f"""
[node]
ae_title = "{CALLED}"
data_dir = "var"

[store]
watermark_percent = 100

[[peer]]
ae_title = "{CALLING}"
hosts = ["127.0.0.1"]

[receiver]
host = "127.0.0.1"
"""


def configured(folder: Path, port: int, processes: int, more: str = "") -> Path:
    """A configuration file in ``folder``; ``more``: other tables."""
    path = folder / "config.toml"
    receiver = f"port = {port}\nprocesses = {processes}\n"
    path.write_text(f"{_CONFIG}{receiver}{more}")
    return path


def command(role: str, config: Path) -> Sequence[str]:
    """What starts a role."""
    return [sys.executable, "-m", "dicomnode", role, "--config", str(config)]


@contextmanager
def listening(
    name: str,
    argv: Sequence[str],
    log: Path,
    port: int,
    environment: Mapping[str, str] | None = None,
) -> Iterator[Program]:
    """A program that runs, once somebody listens on ``port``; raises RuntimeError."""
    with Program(name, argv, log, environment) as program:
        if not wait_until(lambda: is_listening(port), program.check, _START_SECONDS):
            raise RuntimeError(f"{name} does not listen: {program.tail()}")
        yield program


def pid_of(program: Program) -> int:
    """Of its first process."""
    return program._process.pid  # type: ignore[union-attr]  # it has just answered


def is_listening(port: int) -> bool:
    """Whether someone listens, without a connection that a receiver would count."""
    wanted = f":{port:04X}"
    for name in ("tcp", "tcp6"):
        rows = Path(f"/proc/net/{name}").read_text().splitlines()[1:]
        for row in rows:
            _, local, _, state, *_ = row.split()
            if state == _LISTENING and local.endswith(wanted):
                return True
    return False
