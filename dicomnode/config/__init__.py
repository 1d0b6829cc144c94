"""The configuration of the node: one file, every key checked, every error with remedy.

``load`` reads it, ``config.toml`` explains it.
"""

from dicomnode.config.encrypting import Called
from dicomnode.config.loading import example_text, load, origin
from dicomnode.config.models import (
    Config,
    Database,
    Delivery,
    Destination,
    Keep,
    Node,
    Pipeline,
    Retention,
    RetentionRule,
    Study,
    Telemetry,
)
from dicomnode.config.receiving import Peer, Receiver, Tls
from dicomnode.config.serving import Account, Web
from dicomnode.config.shown import Shown, shown
from dicomnode.config.storing import Store
from dicomnode.config.taking import Taken, take
from dicomnode.config.working import Worker

__all__ = [
    "Account",
    "Called",
    "Config",
    "Database",
    "Delivery",
    "Destination",
    "Keep",
    "Node",
    "Peer",
    "Pipeline",
    "Receiver",
    "Retention",
    "RetentionRule",
    "Shown",
    "Store",
    "Study",
    "Taken",
    "Telemetry",
    "Tls",
    "Web",
    "Worker",
    "example_text",
    "load",
    "origin",
    "shown",
    "take",
]
