"""The listening sockets of the receiver, and whose connections count together."""

from __future__ import annotations

import socket
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

from dicomnode.errors import ConfigError

_BACKLOG = 512
_SITE_PREFIX_BITS = 64


def listen(
    host: str, port: int, key: str = "receiver", shares_port: bool = False
) -> socket.socket:
    """A listening socket; ``::`` takes IPv4 too. ``key``: the table that names it.

    Raises ConfigError when the port cannot be opened.
    """
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        is_any = host == "::" and socket.has_dualstack_ipv6()
        listener = socket.create_server(
            (host, port),
            family=family,
            backlog=_BACKLOG,
            reuse_port=shares_port,
            dualstack_ipv6=is_any,
        )
    except OSError as error:
        message = (
            f"cannot listen on {host}:{port} ({error.strerror}); stop the program that "
            f"uses the port, or set receiver.host or {key}.port"
        )
        raise ConfigError(message) from error
    listener.setblocking(False)
    return listener


def neighbourhood(address: str) -> str:
    """What counts as one address: an IPv4 host, or the /64 that an IPv6 host owns."""
    parsed = plain(address)
    if isinstance(parsed, IPv6Address):
        return str(ip_network((parsed, _SITE_PREFIX_BITS), strict=False))
    return str(parsed)


def plain(address: str) -> IPv4Address | IPv6Address:
    """An address without scope; one of IPv4 that a socket of IPv6 shows, as itself."""
    parsed = ip_address(address.partition("%")[0])
    if isinstance(parsed, IPv6Address) and parsed.ipv4_mapped is not None:
        return parsed.ipv4_mapped
    return parsed
