"""The command line of the bench of a device, and its parts in their order."""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import torch

from tests.bench.device.agreement import agreement
from tests.bench.device.node import node
from tests.bench.device.saturation import saturation
from tests.bench.device.steps import Steps
from tests.bench.device.whole import whole

PARTS: dict[str, Callable[[Steps], None]] = {
    "whole": whole,
    "node": node,
    "saturation": saturation,
    "agreement": agreement,
}


def main(words: Sequence[str] = ()) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.bench device")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--batch", type=int, default=16, help="images at once")
    parser.add_argument("--seconds", type=float, default=2.0, help="of each rate")
    parser.add_argument("--studies", type=int, default=20, help="one after the other")
    parser.add_argument("--data", type=Path, help="folder of image files, to agree on")
    parser.add_argument("--only", choices=PARTS, action="append", help="this part")
    parser.add_argument("--minutes", type=float, default=5.5, help="for all parts")
    given = parser.parse_args(words)
    with tempfile.TemporaryDirectory() as name:
        steps = Steps(given, Path(name))
        steps.say("device", device_name(given.device))
        steps.say("cores", os.cpu_count())
        wanted = given.only or list(PARTS)
        for number, part in enumerate(wanted):
            steps.part(part, PARTS[part], len(wanted) - number)
    print(json.dumps({"device": steps.found}))
    return 0


def device_name(device: str) -> str:
    if device == "cpu":
        return f"cpu, {torch.get_num_threads()} threads"
    return torch.cuda.get_device_name(device)
