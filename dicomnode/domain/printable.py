"""Text of a sender made harmless for a terminal."""

from __future__ import annotations

import re

# C0 but line ends and tabs, DEL, C1, surrogates, and what turns the direction of
# writing around: ESC and CSI begin a terminal's commands (ECMA-48 5.3), which set the
# title, move the cursor over other lines, or answer into the shell.
_ACTING = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
)


def printable(text: str) -> str:
    r"""``text`` with each character that would act as its escape, such as ``\x1b``."""
    return _ACTING.sub(_escaped, text)


def _escaped(found: re.Match[str]) -> str:
    code = ord(found[0])
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"
