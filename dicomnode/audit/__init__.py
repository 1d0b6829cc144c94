"""Audit messages of PS3.15 A.5: made, kept in files, sent to a syslog collector.

``events`` builds a message, a ``Trail`` takes it. docs/audit.md lists which event makes
which message.
"""

from __future__ import annotations

from dicomnode.audit.events import AuditedStudy, Node, Peer
from dicomnode.audit.forwarding import Forwarder
from dicomnode.audit.journal import Journal
from dicomnode.audit.message import AuditMessage, Outcome, Participant, Source
from dicomnode.audit.syslog import Target
from dicomnode.audit.trail import Emitter, Keeping, Silent, Trail

__all__ = [
    "AuditMessage",
    "AuditedStudy",
    "Emitter",
    "Forwarder",
    "Journal",
    "Keeping",
    "Node",
    "Outcome",
    "Participant",
    "Peer",
    "Silent",
    "Source",
    "Target",
    "Trail",
]
