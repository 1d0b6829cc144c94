"""The one error of the demonstration."""

from __future__ import annotations

from dicomnode.errors import DicomNodeError


class DemoFailed(DicomNodeError):
    """A part of the demonstration did not do what it must; ends with the remedy."""
