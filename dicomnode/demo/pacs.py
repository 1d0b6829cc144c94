"""What the demonstration needs of a PACS, and a clinician's question to it."""

from __future__ import annotations

from typing import Protocol

from pydicom.dataset import Dataset
from pynetdicom import build_context
from pynetdicom.sop_class import (  # type: ignore[attr-defined]
    StudyRootQueryRetrieveInformationModelFind,
)

from dicomnode.delivery.associating import Peer, associated
from dicomnode.demo.failure import DemoFailed
from dicomnode.errors import DeliveryError

_PENDING = frozenset({0xFF00, 0xFF01})  # PS3.4 Table C.4-1


class Pacs(Protocol):
    """A running PACS on this machine."""

    ae_title: str
    host: str

    @property
    def port(self) -> int:
        """Where it takes DICOM associations."""
        ...

    def files(self, study_instance_uid: str) -> list[bytes]:
        """Every PS3.10 file it has of a study."""
        ...


def find_series(pacs: Pacs, calling_ae_title: str, study_uid: str) -> list[Dataset]:
    """The series of a study, as C-FIND tells them to a workstation.

    Raises DemoFailed when the PACS does not answer.
    """
    query = Dataset()
    query.QueryRetrieveLevel = "SERIES"
    query.StudyInstanceUID = study_uid
    for keyword in ("SeriesInstanceUID", "Modality", "SeriesDescription"):
        setattr(query, keyword, None)
    query.NumberOfSeriesRelatedInstances = None
    model = StudyRootQueryRetrieveInformationModelFind
    peer = Peer(pacs.ae_title, pacs.host, pacs.port, calling_ae_title)
    try:
        with associated(peer, [build_context(model)]) as association:
            answers = list(association.send_c_find(query, model))
    except DeliveryError as error:
        message = f"{pacs.ae_title} takes no query ({error}); see its log and try again"
        raise DemoFailed(message) from error
    return [
        identifier
        for status, identifier in answers
        if identifier is not None and status.get("Status") in _PENDING
    ]
