"""pynetdicom as it comes, doing the same durable work: what most nodes are built like.

usage: python -m tests.bench.ingest.stock PORT FOLDER SYNC
"""

from __future__ import annotations

import os
import sqlite3
import sys
import threading
from pathlib import Path

from pynetdicom import AE, AllStoragePresentationContexts, evt


class Keeper:
    """A file, synced, and one commit for each image."""

    def __init__(self, folder: Path, sync: bool) -> None:
        self._folder, self._sync = folder, sync
        self._lock = threading.Lock()
        self._database = sqlite3.connect(
            folder / "stock.db", check_same_thread=False, isolation_level=None
        )
        self._database.execute("PRAGMA journal_mode=WAL")
        level = "FULL" if sync else "NORMAL"
        self._database.execute(f"PRAGMA synchronous={level}")
        self._database.execute(
            "CREATE TABLE instances (uid TEXT PRIMARY KEY, study TEXT, path TEXT)"
        )

    def __call__(self, event: evt.Event) -> int:
        """Keep one C-STORE."""
        ds = event.dataset
        path = self._folder / f"{ds.SOPInstanceUID}.dcm"
        with path.open("wb") as file:
            file.write(event.encoded_dataset())
            if self._sync:
                file.flush()
                os.fsync(file.fileno())
        row = (ds.SOPInstanceUID, ds.StudyInstanceUID, str(path))
        with self._lock:
            self._database.execute("INSERT INTO instances VALUES (?, ?, ?)", row)
        return 0x0000


def main(words: list[str]) -> None:
    """Serve until killed."""
    port, folder, sync = words
    ae = AE("BENCH")
    ae.maximum_associations = 64
    ae.supported_contexts = AllStoragePresentationContexts
    keeper = Keeper(Path(folder), sync == "1")
    address = ("127.0.0.1", int(port))
    ae.start_server(address, evt_handlers=[(evt.EVT_C_STORE, keeper)])


if __name__ == "__main__":
    main(sys.argv[1:])
