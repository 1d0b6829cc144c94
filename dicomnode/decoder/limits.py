"""What the decoding of one image may take."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass


@dataclass(frozen=True, slots=True)
class DecodeLimits:
    """Rows x columns x frames x samples, seconds, and bytes of address space."""

    max_pixels: int = 1 << 28
    timeout_seconds: float = 60
    memory_bytes: int = 1 << 30

    def to_json(self) -> str:
        """As given to a child on its command line."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> DecodeLimits:
        """What `to_json` wrote."""
        return cls(**json.loads(text))
