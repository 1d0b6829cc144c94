"""The configuration of the node: one file, every key checked, every error with remedy.

``load`` reads it, ``config.toml`` explains it.
"""

from dicomnode.config.loading import example_text, load, origin
from dicomnode.config.models import (
    Account,
    Config,
    Database,
    Delivery,
    Destination,
    Keep,
    Node,
    Peer,
    Pipeline,
    Receiver,
    Retention,
    Store,
    Study,
    Telemetry,
    Tls,
    Web,
    Worker,
)
from dicomnode.config.shown import Shown, shown

__all__ = [
    "Account",
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
    "Shown",
    "Store",
    "Study",
    "Telemetry",
    "Tls",
    "Web",
    "Worker",
    "example_text",
    "load",
    "origin",
    "shown",
]
