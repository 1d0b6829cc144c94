"""Durable files by UID; the only room that knows the file layout."""

from dicomnode.store.local import LocalStore

__all__ = ["LocalStore"]
