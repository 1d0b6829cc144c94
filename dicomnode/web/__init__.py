"""The pages, the API and the metrics: reads the v1 views, acts through the desk."""

from dicomnode.web.access import Account, Accounts, Role
from dicomnode.web.app import create
from dicomnode.web.cards import Card, card
from dicomnode.web.room import Destination, Peer, Pipeline, Room, Site, Who, Witness

__all__ = [
    "Account",
    "Accounts",
    "Card",
    "Destination",
    "Peer",
    "Pipeline",
    "Role",
    "Room",
    "Site",
    "Who",
    "Witness",
    "card",
    "create",
]
