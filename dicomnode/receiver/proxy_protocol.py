"""The header in which a balancer says whose connection it passes on (PROXY, version 2).

Pure. The protocol is HAProxy's; balancers of clouds and of Kubernetes speak it too. The
header comes before everything else, also before the handshake of TLS.
"""

from __future__ import annotations

import struct
from ipaddress import ip_address
from typing import Final

FIXED_BYTES: Final = 16
"""Of every header; the last two tell how much follows."""

_SIGNATURE = bytes.fromhex("0d0a0d0a000d0a515549540a")
_FIXED = struct.Struct(">12sBBH")
_MOST_BYTES = 2048
_LOCAL, _PROXY = 0x20, 0x21
_STREAM_IPV4, _STREAM_IPV6 = 0x11, 0x21
_ADDRESSES = {_STREAM_IPV4: 4, _STREAM_IPV6: 16}
_PORT = struct.Struct(">H")

Source = tuple[str, int] | tuple[str, int, int, int]
"""An address as `socket` has it: of IPv4 with its port, of IPv6 with flow and scope."""


def n_bytes(fixed: bytes) -> int:
    """The length of the header that begins with ``fixed``; ValueError: it is none."""
    signature, command, _, length = _FIXED.unpack(fixed)
    if signature != _SIGNATURE or command not in (_LOCAL, _PROXY):
        raise ValueError("no header of the PROXY protocol, version 2")
    if length > _MOST_BYTES:
        raise ValueError(f"a PROXY header of {length} bytes")
    return FIXED_BYTES + int(length)


def source(header: bytes) -> Source | None:
    """Who connected to the balancer; None: the balancer itself, or it does not say.

    Raises ValueError for a header that is shorter than the addresses it should hold.
    """
    _, command, family, _ = _FIXED.unpack(header[:FIXED_BYTES])
    length = _ADDRESSES.get(family)
    if command == _LOCAL or length is None:
        return None
    rest = header[FIXED_BYTES:]
    if len(rest) < 2 * (length + _PORT.size):
        raise ValueError("a PROXY header without its addresses")
    address = str(ip_address(rest[:length]))
    (port,) = _PORT.unpack_from(rest, 2 * length)
    return (address, port, 0, 0) if family == _STREAM_IPV6 else (address, port)
