"""Query/Retrieve as SCU (PS3.4 C): what an archive has, and bring it here.

C-MOVE lets the archive send to our receiver, which takes the study as any other: it
must know our AE title, address and port, and be among the peers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from pydicom.datadict import dictionary_VR
from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset
from pynetdicom import build_context
from pynetdicom.association import Association
from pynetdicom.presentation import PresentationContext
from pynetdicom.sop_class import (  # type: ignore[attr-defined]
    StudyRootQueryRetrieveInformationModelFind,
    StudyRootQueryRetrieveInformationModelMove,
)

from dicomnode.delivery.associating import Peer, associated
from dicomnode.domain.backfill import FoundStudy, Retrieved, daily
from dicomnode.errors import ConfigError, Refused, Unreachable

FIND = str(StudyRootQueryRetrieveInformationModelFind)
_MOVE = str(StudyRootQueryRetrieveInformationModelMove)
PENDING = (0xFF00, 0xFF01)  # PS3.4 Tables C.4-1, C.4-2
_SUCCESS = 0x0000
_NO_TEXT = frozenset({"SQ", "OB", "OW", "OF", "OD", "OL", "OV", "UN", "OB or OW"})
_RETURNED = ("StudyInstanceUID", "NumberOfStudyRelatedInstances")

_FIND_FAILURES = {
    0xA700: "it is out of resources; narrow the query, for example by StudyDate",
    0xA900: "it does not understand the query; leave out what it cannot match",
    0x0122: "it does not offer C-FIND at study level; choose another archive",
}
"""Final status of a C-FIND (PS3.4 Table C.4-1) -> words and remedy."""


class QueryScu:
    """The Archive port over DIMSE; one association for each call.

    ``move_timeout_seconds``: how long the archive may be silent in a C-MOVE, because
    it need not tell how far it is.
    """

    def __init__(self, peer: Peer, move_timeout_seconds: float) -> None:
        self.peer = peer
        self._move_timeout_seconds = move_timeout_seconds

    def find(self, query: Mapping[str, str]) -> Iterator[FoundStudy]:
        """C-FIND at study level, day by day where the query names a range of days.

        Raises Unreachable, Refused; ConfigError for what is no query.
        """
        checked(query)
        with associated(self.peer, [build_context(FIND)]) as association:
            for one in daily(query):
                yield from self._find_one(association, one)

    def retrieve(self, study_instance_uid: str, alive: Callable[[], None]) -> Retrieved:
        """C-MOVE of one study to ourselves; ``alive`` is called with each answer.

        Raises Unreachable when no association came about or no last answer came.
        """
        with associated(self.peer, [build_context(_MOVE)]) as association:
            association.dimse_timeout = self._move_timeout_seconds
            association.network_timeout = self._move_timeout_seconds
            wanted = Dataset()
            wanted.QueryRetrieveLevel = "STUDY"
            wanted.StudyInstanceUID = study_instance_uid
            ours = self.peer.calling_ae_title
            for status, _ in association.send_c_move(wanted, ours, _MOVE):
                alive()
                if "Status" not in status:
                    break
                if int(status.Status) not in PENDING:
                    return _retrieved(status)
        raise Unreachable(f"{self.peer} ended C-MOVE without an answer; see its log")

    def _find_one(
        self, association: Association, query: Mapping[str, str]
    ) -> Iterator[FoundStudy]:
        for status, identifier in association.send_c_find(_identifier(query), FIND):
            if "Status" not in status:
                break
            code = int(status.Status)
            if code not in PENDING:
                if code != _SUCCESS:
                    raise Refused(f"{self.peer}: {_why(code)}", code)
                return
            if identifier is not None and identifier.get("StudyInstanceUID"):
                yield _found(identifier)
        raise Unreachable(f"{self.peer} ended C-FIND without an answer; see its log")


def encoded(query: Mapping[str, str]) -> bytes:
    """What is asked for, in Implicit VR Little Endian, for the audit trail."""
    buffer = DicomBytesIO()
    buffer.is_little_endian, buffer.is_implicit_VR = True, True
    write_dataset(buffer, _identifier(query))
    return buffer.getvalue()


def checked(query: Mapping[str, str]) -> None:
    """Raises ConfigError for a keyword that DICOM does not know, or a wrong range."""
    for keyword in query:
        try:
            known = dictionary_VR(keyword) not in _NO_TEXT
        except (KeyError, ValueError):
            known = False
        if not known:
            message = f"{keyword!r} is no attribute that can be matched"
            raise ConfigError(f"{message}; write for example StudyDate=20250101-")
    try:
        next(daily(query), None)
    except ValueError as error:
        message = f"StudyDate={query['StudyDate']} names no days ({error})"
        raise ConfigError(f"{message}; write for example 20250101-20250331") from error


def proposed() -> list[PresentationContext]:
    """The contexts of the two associations: to find studies, and to have them sent."""
    return [build_context(FIND), build_context(_MOVE)]


def _identifier(query: Mapping[str, str]) -> Dataset:
    identifier = Dataset()
    identifier.QueryRetrieveLevel = "STUDY"
    for keyword in _RETURNED:
        setattr(identifier, keyword, None)
    for keyword, value in query.items():
        setattr(identifier, keyword, value)
    return identifier


def _found(identifier: Dataset) -> FoundStudy:
    number = identifier.get("NumberOfStudyRelatedInstances")
    return FoundStudy(
        str(identifier.StudyInstanceUID), None if number is None else int(number)
    )


def _why(code: int) -> str:
    unknown = f"C-FIND ended with status 0x{code:04X}; see its log"
    return _FIND_FAILURES.get(code, unknown)


def _retrieved(status: Dataset) -> Retrieved:
    def number(keyword: str) -> int:
        return int(status.get(keyword) or 0)

    return Retrieved(
        status=int(status.Status),
        n_completed=number("NumberOfCompletedSuboperations"),
        n_failed=number("NumberOfFailedSuboperations"),
        n_warning=number("NumberOfWarningSuboperations"),
    )
