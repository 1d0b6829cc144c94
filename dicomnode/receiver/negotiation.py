"""Negotiation as the acceptor: who may come in, and which storage (PS3.8 7.1.1)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, cast

from pydicom.uid import UID
from pynetdicom import evt
from pynetdicom.acse import ACSE
from pynetdicom.pdu import A_ASSOCIATE_AC

from dicomnode.domain.commitment import PUSH_MODEL
from dicomnode.receiver.acceptance import Accept, Refuse, Request, ungranted
from dicomnode.receiver.contexts import supported
from dicomnode.receiver.requests_seen import Agreement
from dicomnode.receiver.services import Services

if TYPE_CHECKING:
    from collections.abc import Hashable

    from pynetdicom.association import Association
    from pynetdicom.pdu_primitives import A_ASSOCIATE
    from pynetdicom.presentation import PresentationContext

    from dicomnode.receiver.reactor import Reactor
    from dicomnode.receiver.requests_seen import SeenRequest


class _Agreeing(Protocol):
    """An association that can be given what was negotiated before."""

    def agree(
        self,
        accepted: dict[int, PresentationContext],
        rejected: list[PresentationContext],
    ) -> None: ...


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
        asked = cast("SeenRequest", self._reactor.asked)
        request = _request(primitive, asked, str(self.requestor.address))
        self.request = request
        decision = self._gate.enter(request)
        if isinstance(decision, Refuse):
            self.send_reject(decision.result, decision.source, decision.diagnostic)
            evt.trigger(self.assoc, evt.EVT_REJECTED, {})
            self.assoc.kill()
            return
        self.entered, self.granted = True, decision
        how = decision, self._takes_commitment()
        if not (asked.is_plain and self._agreed_before(asked, how)):
            self._agree(primitive, decision)
            if asked.is_plain and self.assoc.is_established:
                asked.agreements[how] = self._agreement()
        # After the answer, so that the sender does not wait for the worklist.
        words = () if self.assoc.accepted_contexts else ungranted(request, decision)
        self._gate.record(request, decision, *words)

    @property
    def _reactor(self) -> Reactor:
        return cast("Reactor", self.dul)

    def _agree(self, primitive: A_ASSOCIATE, granted: Accept) -> None:
        self.acceptor.supported_contexts = supported(
            primitive.presentation_context_definition_list,
            storage=granted.may_store,
            commitment=self._takes_commitment(),
            echo=granted.may_echo,
        )
        super().negotiate_association()

    def _agreement(self) -> Agreement:
        answer = cast("A_ASSOCIATE", self.acceptor.primitive)
        accepted = {
            cast("int", one.context_id): one for one in self.assoc.accepted_contexts
        }
        encoded = A_ASSOCIATE_AC(answer).encode()
        return Agreement(answer, encoded, accepted, self.assoc.rejected_contexts)

    def _agreed_before(self, asked: SeenRequest, how: Hashable) -> bool:
        """Accept in the same way as the same request before; False: there was none.

        What the library leaves behind when it accepts is left behind here too.
        """
        before = asked.agreements.get(how)
        if before is None or not self._reactor.may_accept:
            return False
        self.requestor.ae_title = before.primitive.calling_ae_title
        self.acceptor.primitive = before.primitive
        cast("_Agreeing", self.assoc).agree(before.accepted, before.rejected)
        self._reactor.accept(before.encoded)
        evt.trigger(self.assoc, evt.EVT_ACCEPTED, {})
        self.assoc.is_established = True
        evt.trigger(self.assoc, evt.EVT_ESTABLISHED, {})
        return True

    def _takes_commitment(self) -> bool:
        if self._services.commitment is None:
            return False
        role = self.requestor.role_selection.get(UID(PUSH_MODEL))
        asks_to_report = role is not None and bool(role.scp_role)
        may_ask = self._services.offers_commitment and self.granted.may_commit
        return self.granted.reports_only or asks_to_report or may_ask


def _request(primitive: A_ASSOCIATE, asked: SeenRequest, address: str) -> Request:
    return Request(
        called_ae_title=primitive.called_ae_title.strip(),
        calling_ae_title=primitive.calling_ae_title.strip(),
        address=address,
        application_context=str(primitive.application_context_name),
        abstract_syntaxes=asked.abstract_syntaxes,
    )
