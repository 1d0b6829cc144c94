"""What the node's log says of a role that cannot stay up, in the log's own words."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from dicomnode.demo.failure import DemoFailed

_PATIENCE = 3
_LINES = 4


def check_roles(log: Path) -> None:
    """Raise DemoFailed when the supervisor has lost one role again and again.

    The message holds the last errors of that role, which carry their own remedy.
    """
    for entry in _entries(log):
        if entry.get("event") != "supervisor.role_ended":
            continue
        if int(entry.get("failures", 0)) >= _PATIENCE:
            role = str(entry["role"])
            words = "\n  ".join(_errors(log, role))
            raise DemoFailed(f"the role {role} does not stay up:\n  {words}")


def _errors(log: Path, role: str) -> list[str]:
    said = [
        str(entry.get("error") or entry.get("remedy") or entry.get("event"))
        for entry in _entries(log)
        if entry.get("role") == role and entry.get("level") in {"error", "critical"}
    ]
    spoken = [one for one in dict.fromkeys(said) if not one.startswith("supervisor.")]
    return spoken[-_LINES:] or [f"no error of its own; read {log}, then run again"]


def _entries(log: Path) -> Iterator[dict[str, Any]]:
    for line in log.read_text(encoding="utf-8", errors="replace").splitlines():
        if not line.startswith("{"):
            continue
        try:
            yield json.loads(line)
        except json.JSONDecodeError:  # the last line, while it is being written
            continue
