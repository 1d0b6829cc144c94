"""The whole chain on this machine, with nothing to configure."""

from dicomnode.demo.main import main

__all__ = ["main"]
