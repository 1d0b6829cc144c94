"""The fake PACS: it can be down, full, and particular about SOP Classes."""

from __future__ import annotations

from collections import deque
from pathlib import Path

from pydicom.uid import (
    UID,
    Comprehensive3DSRStorage,
    ComprehensiveSRStorage,
    EnhancedSRStorage,
)
from pynetdicom.events import Event

from dicomnode.demo.minipacs import MiniPacs

CODED_REPORTS = frozenset(
    str(uid)
    for uid in (Comprehensive3DSRStorage, ComprehensiveSRStorage, EnhancedSRStorage)
)
OUT_OF_RESOURCES = 0xA700


class FaultyPacs(MiniPacs):
    """``answered`` has SOP Instance UID and status of each C-STORE, in order."""

    def __init__(self, folder: Path, ae_title: str, port: int) -> None:
        super().__init__(folder, ae_title, port)
        self.answered: list[tuple[str, int]] = []
        self._next: deque[int] = deque()

    def refuse_next(self, status: int) -> None:
        """Answer the next C-STORE with ``status`` and keep nothing of it."""
        self._next.append(status)

    def start(self, refused: frozenset[str] = frozenset()) -> None:
        """Listen, without the SOP Classes ``refused``."""
        self.refused = refused
        self.__enter__()

    def stop(self) -> None:
        """Listen no more; what it has it keeps."""
        self.__exit__(None, None, None)

    def _store(self, event: Event) -> int:
        status = self._next.popleft() if self._next else super()._store(event)
        uid = UID(event.file_meta.MediaStorageSOPInstanceUID)
        self.answered.append((str(uid), status))
        return status
