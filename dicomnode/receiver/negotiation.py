"""Negotiation as the acceptor: who may come in, and which storage (PS3.8 7.1.1)."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from pydicom.uid import UID
from pynetdicom import evt
from pynetdicom.acse import ACSE

from dicomnode.domain.commitment import PUSH_MODEL
from dicomnode.receiver.acceptance import Accept, Refuse, Request, ungranted
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
        self.granted = Accept(may_store=False, may_echo=False, may_commit=False)

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
        self.entered, self.granted = True, decision
        self.acceptor.supported_contexts = supported(
            primitive.presentation_context_definition_list,
            storage=decision.may_store,
            commitment=self._takes_commitment(),
            echo=decision.may_echo,
        )
        super().negotiate_association()
        # After the answer, so that the sender does not wait for the worklist.
        words = () if self.assoc.accepted_contexts else ungranted(request, decision)
        self._gate.record(request, decision, *words)

    def _takes_commitment(self) -> bool:
        if self._services.commitment is None:
            return False
        role = self.requestor.role_selection.get(UID(PUSH_MODEL))
        asks_to_report = role is not None and bool(role.scp_role)
        may_ask = self._services.offers_commitment and self.granted.may_commit
        return self.granted.reports_only or asks_to_report or may_ask


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
