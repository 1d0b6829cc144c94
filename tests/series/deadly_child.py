"""A decoder process that dies of a file which begins with KILL, as of a crafted one."""

from __future__ import annotations

import os
import signal
import sys

from dicomnode.decoder import child
from dicomnode.decoder.limits import DecodeLimits

_planes = child.planes_of


def deadly(file, *rest):
    file.seek(0)
    if file.read(4) == b"KILL":
        os.kill(os.getpid(), signal.SIGSEGV)
    file.seek(0)
    return _planes(file, *rest)


if __name__ == "__main__":
    child.planes_of = deadly
    child.main(int(sys.argv[1]), DecodeLimits.from_json(sys.argv[2]))
