"""An embedded mini-PACS: C-ECHO, C-STORE and C-FIND on the loopback, for the demo."""

from __future__ import annotations

from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from threading import Lock
from types import TracebackType
from typing import Self

from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.errors import InvalidDicomError
from pydicom.uid import UID
from pynetdicom import (
    AE,
    ALL_TRANSFER_SYNTAXES,
    AllStoragePresentationContexts,
    evt,
)
from pynetdicom.events import Event
from pynetdicom.sop_class import (  # type: ignore[attr-defined]
    PatientRootQueryRetrieveInformationModelFind,
    StudyRootQueryRetrieveInformationModelFind,
    Verification,
)
from pynetdicom.transport import ThreadedAssociationServer

from dicomnode.demo.query import UNIQUE_KEYS, answers

_SUCCESS, _PENDING, _CANCEL = 0x0000, 0xFF00, 0xFE00
_CANNOT_UNDERSTAND = 0xC000  # PS3.4 Table B.2-1
_IDENTIFIER_DOES_NOT_MATCH = 0xA900  # PS3.4 Table C.4-1
_LOOPBACK = "127.0.0.1"


class MiniPacs:
    """A PACS in ``folder``; a context manager that listens on ``port``, 0: a free one.

    It accepts every storage SOP Class but those of ``refused``.
    """

    def __init__(self, folder: Path, ae_title: str = "MINIPACS", port: int = 0) -> None:
        self.folder = folder
        self.ae_title = ae_title
        self.host = _LOOPBACK
        self.port = port
        self.refused: frozenset[str] = frozenset()
        self._headers: dict[str, Dataset] = {}
        self._lock = Lock()
        self._server: ThreadedAssociationServer | None = None

    def __enter__(self) -> Self:
        self.folder.mkdir(parents=True, exist_ok=True)
        handlers: list[evt.EventHandlerType] = [
            (evt.EVT_C_STORE, self._store),
            (evt.EVT_C_FIND, self._find),
        ]
        server = _application_entity(self.ae_title, self.refused).start_server(
            (self.host, self.port), block=False, evt_handlers=handlers
        )
        if server is not None:  # only a blocking call gives none
            self._server, self.port = server, int(server.server_address[1])
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._server is not None:
            self._server.shutdown()

    def files(self, study_instance_uid: str) -> list[bytes]:
        """Every PS3.10 file of a study, as it came over the network."""
        with self._lock:
            uids = [
                uid
                for uid, header in self._headers.items()
                if header.StudyInstanceUID == study_instance_uid
            ]
        return [self._path(uid).read_bytes() for uid in uids]

    def _path(self, sop_instance_uid: str) -> Path:
        return self.folder / f"{sop_instance_uid}.dcm"

    def _store(self, event: Event) -> int:
        sop_instance_uid = UID(event.file_meta.MediaStorageSOPInstanceUID)
        if not sop_instance_uid.is_valid:
            return _CANNOT_UNDERSTAND
        part10 = event.encoded_dataset()
        try:
            header = dcmread(BytesIO(part10), stop_before_pixels=True)
        except (InvalidDicomError, EOFError, ValueError):
            return _CANNOT_UNDERSTAND
        self._path(sop_instance_uid).write_bytes(part10)
        with self._lock:
            self._headers[sop_instance_uid] = header
        return _SUCCESS

    def _find(self, event: Event) -> Iterator[tuple[int, Dataset | None]]:
        query = event.identifier
        if query.get("QueryRetrieveLevel") not in UNIQUE_KEYS:
            yield _IDENTIFIER_DOES_NOT_MATCH, None
            return
        with self._lock:
            headers = list(self._headers.values())
        for answer in answers(query, headers):
            if event.is_cancelled:
                yield _CANCEL, None
                return
            answer.RetrieveAETitle = self.ae_title
            yield _PENDING, answer


def _application_entity(ae_title: str, refused: frozenset[str]) -> AE:
    ae = AE(ae_title=ae_title)
    ae.require_called_aet = True
    for context in AllStoragePresentationContexts:
        if context.abstract_syntax not in refused:
            uid = str(context.abstract_syntax)
            ae.add_supported_context(uid, ALL_TRANSFER_SYNTAXES)
    for sop_class in (
        Verification,
        PatientRootQueryRetrieveInformationModelFind,
        StudyRootQueryRetrieveInformationModelFind,
    ):
        ae.add_supported_context(sop_class)
    return ae
