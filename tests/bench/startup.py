"""How long each command takes to start, as whole processes beside a bare Python."""

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


def measure(repeat: int) -> dict[str, object]:
    """Median wall seconds of each command, in turns so that noise hits all alike."""
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder) / "config.toml"
        init = ["-m", "dicomnode", "init", "--config", str(config)]
        subprocess.run([sys.executable, *init], check=True, capture_output=True)
        seconds = {name: [] for name in COMMANDS}
        for _ in range(repeat):
            for name, words in COMMANDS.items():
                seconds[name].append(timed(words, config))
    return {name: f"{statistics.median(runs):.3f} s" for name, runs in seconds.items()}


def timed(words: list[str], config: Path) -> float:
    if words[:2] == ["-m", "dicomnode"] and words[2] != "--help":
        words = [*words, "--config", str(config)]
    start = time.perf_counter()
    subprocess.run([sys.executable, *words], capture_output=True)
    return time.perf_counter() - start
