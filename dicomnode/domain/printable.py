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
    # Of the characters in question, those of ASCII are the ones it leaves alone.
    written = found[0].encode("ascii", "backslashreplace").decode()
    return written if written != found[0] else f"\\x{ord(written):02x}"
