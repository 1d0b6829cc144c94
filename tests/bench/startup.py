"""How long each command takes to start, as whole processes beside a bare Python.

And how long until a receiver takes associations and a worker claims jobs: from the
start of the process to its line `receiver.ready`, `worker.ready`.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

COMMANDS = {
    "bare python": ["-c", "pass"],
    "python importing torch": ["-c", "import torch"],
    "dicomnode --help": ["-m", "dicomnode", "--help"],
    "dicomnode config check": ["-m", "dicomnode", "config", "check"],
    "dicomnode status": ["-m", "dicomnode", "status"],
    "dicomnode tail": ["-m", "dicomnode", "tail"],
    "dicomnode list": ["-m", "dicomnode", "list"],
}
READY = {"receiver ready": "receive", "worker ready": "work"}


def measure(repeat: int) -> dict[str, object]:
    """Median wall seconds of each command, in turns so that noise hits all alike."""
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder) / "config.toml"
        init = ["-m", "dicomnode", "init", "--config", str(config)]
        subprocess.run([sys.executable, *init], check=True, capture_output=True)
        seconds = {name: [] for name in COMMANDS}
        seconds |= {name: [] for name in READY}
        for _ in range(repeat):
            for name, words in COMMANDS.items():
                seconds[name].append(timed(words, config))
            for name, role in READY.items():
                seconds[name].append(until_ready(role, config))
    return {name: f"{statistics.median(runs):.3f} s" for name, runs in seconds.items()}


def until_ready(role: str, config: Path) -> float:
    """Seconds until the log of a role says that it is ready."""
    argv = [sys.executable, "-m", "dicomnode", role, "--config", str(config)]
    start = time.perf_counter()
    with subprocess.Popen(
        [*argv, "--set", "receiver.port=0"], stdout=subprocess.PIPE, text=True
    ) as process:
        assert any('.ready"' in line for line in process.stdout), f"{role} has ended"
        seconds = time.perf_counter() - start
        process.terminate()
    return seconds


def timed(words: list[str], config: Path) -> float:
    if words[:2] == ["-m", "dicomnode"] and words[2] != "--help":
        words = [*words, "--config", str(config)]
    start = time.perf_counter()
    subprocess.run([sys.executable, *words], capture_output=True)
    return time.perf_counter() - start
