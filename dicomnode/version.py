"""Who we are: in reports, files, associations and logs, said once."""

from __future__ import annotations

from typing import Final

VERSION: Final = "0.1.0"
"""Of the program; pyproject.toml reads it here."""

MODEL_NAME: Final = "dicomnode"

IMPLEMENTATION_CLASS_UID: Final = "2.25.101150827738367079033315161386403510684"
"""(0002,0012) of our files, and of our associations (PS3.7 D.3.3.2)."""

IMPLEMENTATION_VERSION_NAME: Final = "DICOMNODE_0_1"
"""(0002,0013): at most 16 characters, changed with the first two numbers of VERSION."""
