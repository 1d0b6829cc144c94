"""A network of its own, in which nothing but the loopback exists.

Orthanc and storescp listen on every address of the machine, and storescp takes images
from anyone. In a network namespace (Linux) that reaches nobody else.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import socket
import struct

_CLONE_NEWUSER, _CLONE_NEWNET = 0x10000000, 0x40000000
_SIOCGIFFLAGS, _SIOCSIFFLAGS, _IFF_UP = 0x8913, 0x8914, 0x1
_NAME_BYTES = 16


def isolate() -> bool:
    """Move this process, with all it will start, there; False where that cannot be."""
    if not (_unshared(_CLONE_NEWNET) or _unshared_as_user()):
        return False
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        name = b"lo".ljust(_NAME_BYTES, b"\0")
        request = struct.pack(f"{_NAME_BYTES}sH14x", name, 0)
        answer = fcntl.ioctl(any_socket, _SIOCGIFFLAGS, request)
        flags = struct.unpack_from("H", answer, _NAME_BYTES)[0] | _IFF_UP
        request = struct.pack(f"{_NAME_BYTES}sH14x", name, flags)
        fcntl.ioctl(any_socket, _SIOCSIFFLAGS, request)
    return True


def _unshared(flags: int) -> bool:
    unshare = getattr(ctypes.CDLL(None), "unshare", None)
    return unshare is not None and unshare(flags) == 0


def _unshared_as_user() -> bool:
    """As a user who is not root: a namespace of users too, where we are ourselves."""
    user, group = os.getuid(), os.getgid()
    if not _unshared(_CLONE_NEWUSER | _CLONE_NEWNET):
        return False
    for name, content in (
        ("setgroups", "deny"),
        ("uid_map", f"{user} {user} 1"),
        ("gid_map", f"{group} {group} 1"),
    ):
        with open(f"/proc/self/{name}", "w") as file:
            file.write(content)
    return True
