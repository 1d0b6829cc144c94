"""What a role loads: the receiver never sees torch, --help loads almost nothing."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = ("torch", "torchvision", "highdicom", "apscheduler")


def loaded_by(statement: str) -> set[str]:
    code = f"{statement}; import sys; print(*sys.modules)"
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    return {name.split(".")[0] for name in run.stdout.split()}


@pytest.mark.parametrize(
    ("module", "never"),
    [
        ("dicomnode.processes.receive", (*HEAVY, "model")),
        ("dicomnode.processes.deliver", (*HEAVY, "model")),
        ("dicomnode.processes.run", (*HEAVY, "model", "pynetdicom")),
        ("dicomnode.processes.keep", ("torch", "highdicom", "model", "pynetdicom")),
        ("dicomnode.__main__", (*HEAVY, "model", "pynetdicom", "sqlalchemy")),
        ("dicomnode.acceptance", ("torch", "torchvision", "apscheduler")),
        ("dicomnode.conformance", ("torch", "torchvision", "apscheduler", "model")),
        ("model.pixels", ("torch", "dicomnode")),
        ("model.phantom", ("torch", "dicomnode", "pydicom")),
    ],
)
def test_what_a_role_never_loads(module, never):
    assert loaded_by(f"import {module}").isdisjoint(never)
