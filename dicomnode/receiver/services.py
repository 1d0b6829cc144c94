"""What the associations of a server share."""

from __future__ import annotations

from dataclasses import dataclass, field

from dicomnode.receiver.buffers import Buffers
from dicomnode.receiver.commitment import CommitmentScp
from dicomnode.receiver.crew import Crew
from dicomnode.receiver.gate import Gate
from dicomnode.receiver.handlers import StoreHandler
from dicomnode.receiver.messages import Gathered
from dicomnode.receiver.requests_seen import SeenRequests


@dataclass(frozen=True, slots=True)
class Services:
    """What every association of a server shares.

    ``deadline_seconds``: for each PDU of a peer, from its first byte to its last.
    ``commitment``: answers storage commitment; ``offers_commitment``: to everyone who
    may store, else only to destinations that report to us.
    """

    gate: Gate
    store: StoreHandler
    deadline_seconds: float
    commitment: CommitmentScp | None = None
    offers_commitment: bool = False
    seen: SeenRequests = field(default_factory=SeenRequests)
    gathered: Gathered = field(default_factory=Gathered)
    crew: Crew = field(default_factory=Crew)
    buffers: Buffers = field(default_factory=Buffers)
