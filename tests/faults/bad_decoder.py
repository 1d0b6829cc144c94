"""A decoder process that does what an image says: it stands in for native decoders.

Run as the real one is, by `DecoderPool(..., module="tests.faults.bad_decoder")`.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import time
from pathlib import Path
from typing import BinaryIO

from dicomnode.decoder import child
from dicomnode.decoder.decoding import (
    DISPLAY,
    Decoded,
    ImageWanted,
    Undecodable,
    decode,
)
from dicomnode.decoder.limits import DecodeLimits


def crash() -> None:
    """A segmentation fault in native code."""
    ctypes.string_at(0)


def loop() -> None:
    """Native code that never comes back."""
    ctypes.PyDLL(None).pause()


def stop() -> None:
    """Stopped by someone: not even its own alarm ends it."""
    os.kill(os.getpid(), signal.SIGSTOP)


def ask_for_all_memory() -> None:
    bytearray(1 << 40)


def bug() -> None:
    raise TypeError("of Mrs. X")


def crash_once(marker: Path) -> None:
    if not marker.exists():
        marker.touch()
        os.kill(os.getpid(), signal.SIGKILL)


def wait_for(path: Path) -> None:
    while not path.exists():
        time.sleep(0.01)


DEEDS = {
    b"crash": crash,
    b"loop": loop,
    b"stop": stop,
    b"memory": ask_for_all_memory,
    b"bug": bug,
}


def misbehave(
    file: BinaryIO, max_pixels: int, wanted: ImageWanted = DISPLAY
) -> Decoded | Undecodable:
    word, _, path = file.read(200).partition(b" ")
    file.seek(0)
    if word == b"once":
        crash_once(Path(path.decode()))
        return Undecodable("decoded the second time")
    if word == b"until":
        wait_for(Path(path.decode()))
        return Undecodable("there")
    if word not in DEEDS:
        return decode(file, max_pixels, wanted)
    try:
        DEEDS[word]()
    except MemoryError:
        return Undecodable("more memory than there is")
    return Undecodable("nothing happened")


if __name__ == "__main__":
    child.decode = misbehave
    child.main(int(sys.argv[1]), DecodeLimits.from_json(sys.argv[2]))
