"""Whose request it is: the browser's address, also behind a proxy that we trust."""

from __future__ import annotations

import ipaddress

from fastapi import Request

_BY_A_PROXY = ("forwarded", "x-forwarded-for", "x-forwarded-host", "x-real-ip", "via")
_FORWARDED = "x-forwarded-for"


def peer_of(request: Request) -> str:
    """The other end of the connection."""
    return request.client.host if request.client else ""


def address_of(request: Request) -> str:
    """Where the request comes from, as far as it can be believed.

    A proxy appends the address that it sees to X-Forwarded-For, and a browser may have
    written anything before: the last one that is no proxy of ours counts.
    """
    trusted = request.app.state.room.accounts.proxy_hosts
    address = peer_of(request)
    chain = ",".join(request.headers.getlist(_FORWARDED)).split(",")
    while address in trusted and chain:
        before = chain.pop().strip()
        if not _is_address(before):
            break
        address = before
    return address


def is_local(request: Request) -> bool:
    """Whether it was made on this machine, and not passed on by a proxy there."""
    if any(name in request.headers for name in _BY_A_PROXY):
        return False
    peer = peer_of(request)
    return _is_address(peer) and ipaddress.ip_address(peer).is_loopback


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
