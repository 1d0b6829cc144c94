"""What the drift monitors of the pipelines alarm about, read from their files.

`<data_dir>/monitor/<pipeline>.json` is written by the worker (dicomnode.monitoring).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

REMEDY = "look at the images of that station; if they are right, commission the bundle"


def drift_alarms(data_dir: Path) -> list[Mapping[str, Any]]:
    """One row for each alarm of each pipeline; none before anything was watched."""
    return [row for path in _files(data_dir) for row in _alarms(path)]


def _files(data_dir: Path) -> list[Path]:
    return sorted((data_dir / "monitor").glob("*.json"))


def _alarms(path: Path) -> Iterator[Mapping[str, Any]]:
    try:
        found = json.loads(path.read_text("utf-8"))
        alarms = [dict(one) for one in found["alarms"]]
    except (OSError, ValueError, KeyError, TypeError):
        return  # the worker starts a broken file anew, and says so in its log
    for one in alarms:
        yield {"pipeline": path.stem, **one, "remedy": REMEDY}


def line_of(row: Mapping[str, Any]) -> str:
    """One alarm for people."""
    return (
        f"{row['pipeline']}, {row.get('stream')}: {row.get('what')}: "
        f"{row.get('measure')} {row.get('value')}, limit {row.get('limit')}"
    )
