"""Memory that was needed for a moment goes back; what stays is not looked through."""

from __future__ import annotations

import ctypes
import gc

LARGE_BYTES = 1 << 20
_M_MMAP_THRESHOLD = -3
"""Of glibc's mallopt(3)."""


def return_large_buffers() -> bool:
    """Let each buffer from a megabyte up go back when it is freed; whether it could.

    glibc raises that limit to 32 MB by itself and keeps freed buffers for each thread's
    arena: with an image of 16 MB on every association a receiver would hold hundreds of
    megabytes that nobody uses. Elsewhere the allocator does as it does.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    return mallopt is not None and bool(mallopt(_M_MMAP_THRESHOLD, LARGE_BYTES))


def leave_in_peace() -> None:
    """Nothing made so far is looked through for garbage any more.

    It lives as long as the process, and a look through all of it takes a twelfth of a
    second, in which a study waits. Called again, as after a reload, it takes away what
    nobody has any more of what was there before.
    """
    if gc.get_freeze_count():
        gc.unfreeze()
        gc.collect()
    gc.freeze()
