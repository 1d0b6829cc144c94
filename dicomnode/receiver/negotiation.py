"""Negotiation as the acceptor: who may come in, and which storage (PS3.8 7.1.1)."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from pydicom.uid import UID
from pynetdicom import evt
from pynetdicom.acse import ACSE

from dicomnode.domain.commitment import PUSH_MODEL
from dicomnode.receiver.acceptance import Refuse, Request
from dicomnode.receiver.contexts import supported
from dicomnode.receiver.services import Services

if TYPE_CHECKING:
    from pynetdicom.association import Association
    from pynetdicom.pdu_primitives import A_ASSOCIATE


class GatedACSE(ACSE):
    """Asks the gate before it negotiates, and supports what storage is proposed."""

    def __init__(self, association: Association, services: Services) -> None:
        super().__init__(association)
        self._gate = services.gate
        self._services = services
        self.request: Request | None = None
        self.entered = False
        self.may_store = False

    def negotiate_association(self) -> None:
        """Answer the A-ASSOCIATE-RQ (PS3.8 7.1.1)."""
        primitive = cast("A_ASSOCIATE", self.requestor.primitive)
        request = _request(primitive, str(self.requestor.address))
        self.request = request
        decision = self._gate.enter(request)
        if isinstance(decision, Refuse):
            self.send_reject(decision.result, decision.source, decision.diagnostic)
            evt.trigger(self.assoc, evt.EVT_REJECTED, {})
            self.assoc.kill()
            return
        self.entered, self.may_store = True, decision.may_store
        self.acceptor.supported_contexts = supported(
            primitive.presentation_context_definition_list,
            storage=self.may_store,
            commitment=self._takes_commitment(),
        )
        super().negotiate_association()
        # After the answer, so that the sender does not wait for the worklist.
        contexts = self.assoc.accepted_contexts
        reason = "" if contexts else "no proposed presentation context was acceptable"
        self._gate.record(request, reason=reason)

    def _takes_commitment(self) -> bool:
        if self._services.commitment is None:
            return False
        role = self.requestor.role_selection.get(UID(PUSH_MODEL))
        reports = not self.may_store or (role is not None and bool(role.scp_role))
        return self._services.offers_commitment or reports


def _request(primitive: A_ASSOCIATE, address: str) -> Request:
    return Request(
        called_ae_title=primitive.called_ae_title.strip(),
        calling_ae_title=primitive.calling_ae_title.strip(),
        address=address,
        application_context=str(primitive.application_context_name),
        abstract_syntaxes=frozenset(
            str(context.abstract_syntax)
            for context in primitive.presentation_context_definition_list
        ),
    )
