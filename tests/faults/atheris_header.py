"""Coverage-guided fuzzing of the header scan and of command sets, with atheris.

usage: python -m tests.faults.atheris_header [CORPUS_FOLDER] [-max_total_time=60]

atheris is no dependency of the project: ``pip install atheris`` first. What it finds it
writes as ``crash-...`` into the current folder; give that file as the only argument to
see it again. The first byte chooses the transfer syntax.
"""

from __future__ import annotations

import sys

import atheris

with atheris.instrument_imports(include=["dicomnode.receiver"]):
    from dicomnode.receiver.command import parse
    from dicomnode.receiver.header import scan

SYNTAXES = (
    "1.2.840.10008.1.2",
    "1.2.840.10008.1.2.1",
    "1.2.840.10008.1.2.2",
    "1.2.840.10008.1.2.1.99",
)


def one_input(raw: bytes) -> None:
    """Neither may raise, whatever comes."""
    if raw:
        scan(raw[1:], SYNTAXES[raw[0] % len(SYNTAXES)], ("WindowCenter",))
        parse(raw[1:])


if __name__ == "__main__":
    atheris.Setup(sys.argv, one_input)
    atheris.Fuzz()
