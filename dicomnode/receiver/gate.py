"""Opens the door to associations, counts those inside, and says whom it refused."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import structlog

from dicomnode.domain.association import Association
from dicomnode.domain.commitment import PUSH_MODEL
from dicomnode.errors import WorklistError
from dicomnode.ports import Clock, Intake
from dicomnode.receiver.acceptance import (
    Accept,
    Decision,
    Policy,
    Refuse,
    Request,
    decide,
)
from dicomnode.receiver.inside import Inside
from dicomnode.receiver.listening import neighbourhood
from dicomnode.receiver.peers import Peers
from dicomnode.receiver.throttle import Allowance, Throttle

_LOG = structlog.get_logger(__name__)
_ACCEPT = Accept()
_MOST_OF_ONE, _MOST_OF_ALL = 30, 300
"""Refusals that are told in a minute: of one address, and of all."""


@dataclass(slots=True)
class Gate:
    """One for each SCP; ``Accept`` is to be followed by ``leave`` when it ends."""

    policy: Policy
    peers: Peers
    intake: Intake
    clock: Clock
    inside: Inside = field(default_factory=Inside)
    _may_tell: Throttle = field(default_factory=Throttle)
    # Whoever asks under ever new titles must not fill log and worklist either, and
    # each row is a commit that the scanners wait for.
    _of_one: Allowance = field(default_factory=lambda: Allowance(_MOST_OF_ONE))
    _of_all: Allowance = field(default_factory=lambda: Allowance(_MOST_OF_ALL))

    def enter(self, request: Request) -> Decision:
        """Decide, and count an accepted association; a refused one is recorded."""
        known = self.peers.known(reports=PUSH_MODEL in request.abstract_syntaxes)
        with self.inside.held():
            total, of_peer = self.inside.total(), self.inside.of(_title(request))
            decision = decide(request, self.policy, known, total, of_peer)
            if isinstance(decision, Accept):
                self.inside.add(_title(request))
        if isinstance(decision, Refuse):
            self._tell_refused(request, decision)
        return decision

    def leave(self, request: Request, is_noted: bool = False) -> None:
        """An association that was accepted on this request has ended.

        ``is_noted``: its note is recorded, so there is nothing to commit for it.
        """
        with self.inside.held():
            self.inside.remove(_title(request))
        if not is_noted:
            self._tell(self.intake.record_noted)

    def turned_away(self, address: str, reason: str, remedy: str) -> None:
        """Note a connection that ended before it had asked for an association."""
        if not self._has_room(address):
            return
        self.record(Request("", "", address), Refuse(0, 0, 0, reason, remedy))

    def _tell_refused(self, request: Request, decision: Refuse) -> None:
        # A sender that tries again and again must not fill log and worklist.
        cause = (decision.result, decision.source, decision.diagnostic)
        titles = (_title(request), request.called_ae_title)
        if self._may_tell.passes((request.address, *titles, *cause)) is None:
            return
        if self._has_room(request.address):
            _log_refused(request, decision)
            self.record(request, decision)

    def _has_room(self, address: str) -> bool:
        if self._of_one.allows(neighbourhood(address)) and self._of_all.allows(""):
            return True
        if self._may_tell.passes("untold") is not None:
            _LOG.warning(
                "receiver.refusals_not_told",
                address=address,
                reason="too many associations are refused to note each of them",
                remedy="find out who asks so often, and under so many AE titles",
            )
        return False

    def record(
        self,
        request: Request,
        decision: Decision = _ACCEPT,
        reason: str = "",
        remedy: str = "",
    ) -> None:
        """Note the decision in the worklist; failing to do so changes nothing.

        An accepted one with its first instance, or when it ends: one commit for both.
        """
        refused = decision if isinstance(decision, Refuse) else None
        association = Association(
            at=self.clock.now(),
            calling_ae_title=request.calling_ae_title,
            called_ae_title=request.called_ae_title,
            address=request.address,
            accepted=refused is None,
            reason=refused.reason if refused else reason,
            remedy=refused.remedy if refused else remedy,
        )
        if association.accepted:
            self._tell(lambda: self.intake.note_association(association))
        else:
            self._tell(lambda: self.intake.record_association(association))

    @staticmethod
    def _tell(action: Callable[[], None]) -> None:
        try:
            action()
        except WorklistError as error:
            _LOG.warning("receiver.association_not_recorded", error=str(error))


def _title(request: Request) -> str:
    return request.calling_ae_title.strip(" ")


def _log_refused(request: Request, decision: Refuse) -> None:
    _LOG.warning(
        "receiver.association",
        outcome="refused",
        calling_ae_title=request.calling_ae_title,
        called_ae_title=request.called_ae_title,
        address=request.address,
        status=f"{decision.result},{decision.source},{decision.diagnostic}",
        reason=decision.reason,
        remedy=decision.remedy,
    )
