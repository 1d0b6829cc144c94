"""Durable files by UID; the only room that knows the file layout."""

from dicomnode.store.inspection import Inspection
from dicomnode.store.local import LocalStore

__all__ = ["Inspection", "LocalStore"]
