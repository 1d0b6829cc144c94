"""The sender and the sink: C compiled on the spot, or the same in Python without cc."""

from __future__ import annotations

import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

SOURCES = Path(__file__).resolve().parent.parent / "native"
_FLAGS = ("-std=gnu11", "-O2", "-Wall", "-Wextra", "-Werror", "-pthread")


@dataclass(frozen=True, slots=True)
class Tools:
    """Command lines that begin a sender and a sink.

    ``nosync``: a library that makes syncs do nothing when it is preloaded, if any.
    """

    sender: tuple[str, ...]
    sink: tuple[str, ...]
    made_of: str
    nosync: str = ""


def tools(folder: Path, compiler: str | None = None) -> Tools:
    """Compile into ``folder``; without a compiler, Python."""
    compiler = compiler or shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        return plain()
    sender, sink = (_compiled(compiler, folder, name) for name in ("sender", "sink"))
    nosync = _compiled(compiler, folder, "nosync", "-shared", "-fPIC")
    return Tools((sender,), (sink,), "C", nosync)


def plain() -> Tools:
    """The same in Python."""
    sender, sink = (
        (sys.executable, "-m", f"tests.bench.ingest.plain_{name}")
        for name in ("sender", "sink")
    )
    return Tools(sender, sink, "Python")


def _compiled(compiler: str, folder: Path, name: str, *more: str) -> str:
    program = folder / name
    source = SOURCES / f"{name}.c"
    flags = (*_FLAGS, *more)
    subprocess.run([compiler, *flags, "-o", program, source], check=True)
    return str(program)
