"""What a run says of itself while it trains: metrics.jsonl always, TensorBoard when it
is installed (extra `train`).
"""

from __future__ import annotations

import importlib
import importlib.util
import json
from typing import TYPE_CHECKING, Any

from model.train.checkpoint import write_atomically

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


class Record:
    """One line per event, with its step; a run that goes on forgets what it repeats."""

    def __init__(self, run: Path, step: int) -> None:
        self._path = run / "metrics.jsonl"
        self._board = _board(run / "tensorboard", step)
        if self._path.exists():
            lines = self._path.read_text("utf-8").splitlines(keepends=True)
            kept = [line for line in lines if json.loads(line)["step"] <= step]
            write_atomically(self._path, "".join(kept).encode())

    def write(self, step: int, values: Mapping[str, float]) -> None:
        """Append one line."""
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"step": step, **values}) + "\n")
        if self._board is not None:
            for name, value in values.items():
                self._board.add_scalar(name, value, step)

    def close(self) -> None:
        """Flush what TensorBoard still holds."""
        if self._board is not None:
            self._board.close()


def _board(folder: Path, step: int) -> Any:
    """A SummaryWriter, or None without the package."""
    if importlib.util.find_spec("tensorboard") is None:
        return None
    module = importlib.import_module("torch.utils.tensorboard")
    return module.SummaryWriter(str(folder), purge_step=step + 1)
