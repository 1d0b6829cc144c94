"""C-GET as SCU (PS3.4 C.4.3): a study comes over the association that asks for it.

The archive needs neither an address of ours nor to know us as a destination. On that
association we are the SCP of Storage, which role selection negotiates (PS3.7 D.3.3.4).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from io import BytesIO
from typing import cast

from pydicom.dataset import Dataset
from pydicom.uid import ImplicitVRLittleEndian
from pynetdicom import (
    ALL_TRANSFER_SYNTAXES,
    StoragePresentationContexts,
    build_context,
    build_role,
    evt,
)
from pynetdicom.association import Association
from pynetdicom.dimse_primitives import C_STORE
from pynetdicom.events import Event
from pynetdicom.presentation import PresentationContext
from pynetdicom.sop_class import (  # type: ignore[attr-defined]
    StudyRootQueryRetrieveInformationModelGet,
)

from dicomnode.delivery.associating import Peer, associated
from dicomnode.delivery.bringing import Bringing
from dicomnode.delivery.contexts import CONVERTIBLE, MAX_CONTEXTS
from dicomnode.delivery.query_scu import FIND, PENDING, QueryScu
from dicomnode.domain.backfill import Brought, Retrieved
from dicomnode.errors import Unreachable
from dicomnode.ports import Taking

GET = str(StudyRootQueryRetrieveInformationModelGet)
_NOT_SUPPORTED = 0x0122

_FAILURES = {
    0xA701: "it cannot count the matches; see its log",
    0xA702: "it could not send over this association; see its log",
    0xA900: "it does not offer C-GET at study level",
    _NOT_SUPPORTED: "it does not offer C-GET",
    0xFE00: "it has cancelled; see its log",
}
"""Final status of a C-GET (PS3.4 Table C.4-3) -> words."""
_ANOTHER_WAY = 'set destination.retrieve = "c-move", or "dicomweb"'

_FIRST = tuple(str(one) for one in CONVERTIBLE[:2])
_SYNTAXES = (*_FIRST, *(one for one in ALL_TRANSFER_SYNTAXES if one not in _FIRST))
USUAL = tuple(str(one.abstract_syntax) for one in StoragePresentationContexts)


class GetScu(QueryScu):
    """The Archive port over DIMSE, without C-MOVE; one association for each call.

    ``silent_seconds``: how long the archive may be silent in a C-GET.
    """

    def __init__(self, peer: Peer, silent_seconds: float, taking: Taking) -> None:
        super().__init__(peer, silent_seconds)
        self._silent_seconds = silent_seconds
        self._taking = taking

    def retrieve(self, study_instance_uid: str, alive: Callable[[], None]) -> Retrieved:
        """C-GET of one study; each C-STORE in it is answered when it is kept.

        Raises Unreachable when no association came about or no last answer came.
        """
        into = Bringing(self._taking, alive)
        contexts = proposed(self._sop_classes(study_instance_uid))
        kept = [(evt.EVT_C_STORE, lambda event: _kept(into, event))]
        roles = [build_role(one, scp_role=True) for one in _storage(contexts)]
        with associated(self.peer, contexts, kept, roles) as association:
            if not _offers(association):
                return Retrieved(_NOT_SUPPORTED, why=_why(_NOT_SUPPORTED))
            association.dimse_timeout = self._silent_seconds
            association.network_timeout = self._silent_seconds
            for status in _answers(association, study_instance_uid):
                alive()
                if "Status" not in status:
                    break
                if int(status.Status) not in PENDING:
                    return _ended(into, status)
        raise Unreachable(f"{self.peer} ended C-GET without an answer; see its log")

    def _sop_classes(self, study_instance_uid: str) -> list[str]:
        """What the study holds; empty where the archive does not tell.

        (0008,0062) is optional (PS3.4 Table C.6-5).
        """
        wanted = Dataset()
        wanted.QueryRetrieveLevel = "STUDY"
        wanted.StudyInstanceUID = study_instance_uid
        wanted.SOPClassesInStudy = None
        found: dict[str, None] = {}
        with associated(self.peer, [build_context(FIND)]) as association:
            for _, identifier in association.send_c_find(wanted, FIND):
                if identifier is not None:
                    found.update(dict.fromkeys(_values(identifier)))
        return list(found)


def proposed(sop_classes: Sequence[str] = ()) -> list[PresentationContext]:
    """C-GET, and storage of these SOP classes, or of the usual ones if there is none.

    An archive sends an instance as it lies there only over a context for its transfer
    syntax, so there are as many contexts as fit; the last of a SOP class has the rest.
    """
    classes = tuple(sop_classes or USUAL)[: MAX_CONTEXTS - 1]
    each = max(1, (MAX_CONTEXTS - 1) // len(classes))
    storage = (context for one in classes for context in _of_class(one, each))
    return [build_context(GET, [ImplicitVRLittleEndian]), *storage]


def _of_class(sop_class: str, most: int) -> Iterator[PresentationContext]:
    alone, rest = _SYNTAXES[: most - 1], _SYNTAXES[most - 1 :]
    yield from (build_context(sop_class, [one]) for one in alone)
    if rest:
        yield build_context(sop_class, list(rest))


def _storage(contexts: Sequence[PresentationContext]) -> list[str]:
    return list(dict.fromkeys(str(one.abstract_syntax) for one in contexts[1:]))


def _offers(association: Association) -> bool:
    return any(one.abstract_syntax == GET for one in association.accepted_contexts)


def _answers(association: Association, study_instance_uid: str) -> Iterator[Dataset]:
    wanted = Dataset()
    wanted.QueryRetrieveLevel = "STUDY"
    wanted.StudyInstanceUID = study_instance_uid
    for status, _ in association.send_c_get(wanted, GET):
        yield status


def _kept(into: Bringing, event: Event) -> Dataset:
    """Answer one C-STORE sub-operation."""
    request = cast(C_STORE, event.request)
    taken = into.take(
        Brought(
            sop_class_uid=str(request.AffectedSOPClassUID),
            sop_instance_uid=str(request.AffectedSOPInstanceUID),
            transfer_syntax_uid=str(event.context.transfer_syntax),
            data_set=cast(BytesIO, request.DataSet).getbuffer(),
        )
    )
    answer = Dataset()
    answer.Status = taken.status
    if taken.short_comment:
        answer.ErrorComment = taken.short_comment
    return answer


def _ended(into: Bringing, status: Dataset) -> Retrieved:
    code = int(status.Status)
    n_failed = int(status.get("NumberOfFailedSuboperations") or 0)
    return into.retrieved(code, n_failed, "" if code in (0, 0xB000) else _why(code))


def _why(code: int) -> str:
    words = _FAILURES.get(code, f"C-GET ended with status 0x{code:04X}; see its log")
    return f"{words}; {_ANOTHER_WAY}" if code in (_NOT_SUPPORTED, 0xA900) else words


def _values(identifier: Dataset) -> list[str]:
    value = identifier.get("SOPClassesInStudy")
    if not value:
        return []
    return [value] if isinstance(value, str) else [str(one) for one in value]
