"""Who may associate: a pure decision with the configuration line that would admit."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
)

from dicomnode.domain.commitment import PUSH_MODEL

Network = IPv4Network | IPv6Network

# PS3.7 A.2.1: the one application context of DICOM.
DICOM_APPLICATION_CONTEXT = "1.2.840.10008.3.1.1.1"

_PERMANENT, _TRANSIENT = 1, 2
_SERVICE_USER, _PRESENTATION = 1, 3

STORE, ECHO, COMMITMENT = "store", "echo", "commitment"
ALL_SERVICES = frozenset({STORE, ECHO, COMMITMENT})
"""What a peer may be allowed: C-STORE, C-ECHO, requests for storage commitment."""


@dataclass(frozen=True, slots=True)
class KnownPeer:
    """A configured peer: ``hosts`` as written, ``networks`` as they resolve now.

    ``reports_only``: a destination, which may answer our requests for storage
    commitment and nothing else. ``max_associations`` 0: no limit of its own.
    """

    ae_title: str
    hosts: tuple[str, ...]
    networks: tuple[Network, ...]
    reports_only: bool = False
    services: frozenset[str] = ALL_SERVICES
    max_associations: int = 0


@dataclass(frozen=True, slots=True)
class Policy:
    """The keys of ``[node]`` and ``[receiver]`` that decide."""

    ae_title: str
    require_called_ae_title: bool = True
    accept_unknown_peers: bool = False
    max_associations: int = 64


@dataclass(frozen=True, slots=True)
class Request:
    """What an A-ASSOCIATE-RQ says (PS3.8 9.3.2), and from where it came."""

    called_ae_title: str
    calling_ae_title: str
    address: str
    application_context: str = DICOM_APPLICATION_CONTEXT
    abstract_syntaxes: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Accept:
    """The association may be negotiated.

    ``may_commit``: ask us for storage commitment. ``reports_only``: a destination that
    comes to report on ours (PS3.4 J), and may C-ECHO.
    """

    may_store: bool = True
    may_echo: bool = True
    may_commit: bool = True
    reports_only: bool = False


@dataclass(frozen=True, slots=True)
class Refuse:
    """An A-ASSOCIATE-RJ (PS3.8 Table 9-21), the reason in words, and the remedy."""

    result: int
    source: int
    diagnostic: int
    reason: str
    remedy: str


Decision = Accept | Refuse


def decide(
    request: Request,
    policy: Policy,
    peers: Sequence[KnownPeer],
    n_associations: int,
    n_of_peer: int = 0,
) -> Decision:
    """Accept or refuse; ``n_associations`` are open already, ``n_of_peer`` of them by
    the same calling AE title.

    AE titles compare exactly, but for spaces at their ends (PS3.8 Table 9-11).
    """
    return (
        _wrong_application_context(request)
        or _wrong_called(request, policy)
        or _wrong_calling(request, policy, peers)
        or _too_many(policy, n_associations)
        or _too_many_of_peer(request, peers, n_of_peer)
        or _accepted(request, policy, peers)
    )


def ungranted(request: Request, granted: Accept) -> tuple[str, str]:
    """Reason and remedy when no presentation context was acceptable.

    Reason alone when it is no service that a ``[[peer]]`` table could grant.
    """
    reason = "no proposed presentation context was acceptable"
    if granted.reports_only or granted == Accept():
        return reason, ""
    title = request.calling_ae_title.strip(" ")
    services = json.dumps(sorted(ALL_SERVICES))
    remedy = f"[[peer]]\nae_title = {json.dumps(title)}\nservices = {services}"
    return f"{reason}; peer {title!r} may not use every service", remedy


def _wrong_application_context(request: Request) -> Refuse | None:
    if request.application_context == DICOM_APPLICATION_CONTEXT:
        return None
    reason = "the application context is not that of DICOM"
    remedy = f"at the sender: propose application context {DICOM_APPLICATION_CONTEXT}"
    return Refuse(_PERMANENT, _SERVICE_USER, 2, reason, remedy)


def _wrong_called(request: Request, policy: Policy) -> Refuse | None:
    called, ours = request.called_ae_title.strip(" "), policy.ae_title.strip(" ")
    if called == ours or not policy.require_called_ae_title:
        return None
    reason = f"called AE title {called!r} is not ours, {ours!r}"
    remedy = (
        f"# at the modality: set the called AE title to {ours}; or here:\n"
        "[receiver]\nrequire_called_ae_title = false"
    )
    return Refuse(_PERMANENT, _SERVICE_USER, 7, reason, remedy)


def _wrong_calling(
    request: Request, policy: Policy, peers: Sequence[KnownPeer]
) -> Refuse | None:
    if policy.accept_unknown_peers:
        return None
    reports = PUSH_MODEL in request.abstract_syntaxes
    if _known(request, [peer for peer in peers if reports or not peer.reports_only]):
        return None
    calling, address = request.calling_ae_title.strip(" "), _address(request.address)
    namesakes = [
        peer
        for peer in peers
        if peer.ae_title.strip(" ") == calling and not peer.reports_only
    ]
    hosts = dict.fromkeys(host for peer in namesakes for host in peer.hosts)
    reason = (
        f"{address} is no address of peer {calling!r}"
        if namesakes
        else f"calling AE title {calling!r} is not a known peer"
    )
    remedy = _peer_lines(calling, [*hosts, str(address)])
    return Refuse(_PERMANENT, _SERVICE_USER, 3, reason, remedy)


def _accepted(request: Request, policy: Policy, peers: Sequence[KnownPeer]) -> Accept:
    known = _known(request, [peer for peer in peers if not peer.reports_only])
    if not known:
        if policy.accept_unknown_peers:
            return Accept()
        return Accept(may_store=False, may_commit=False, reports_only=True)
    services = frozenset[str]().union(*(peer.services for peer in known))
    return Accept(STORE in services, ECHO in services, COMMITMENT in services)


def _known(request: Request, peers: Sequence[KnownPeer]) -> list[KnownPeer]:
    calling, address = request.calling_ae_title.strip(" "), _address(request.address)
    return [
        peer
        for peer in peers
        if peer.ae_title.strip(" ") == calling
        and any(address in network for network in peer.networks)
    ]


def _too_many(policy: Policy, n_associations: int) -> Refuse | None:
    limit = policy.max_associations
    if n_associations < limit:
        return None
    reason = f"{n_associations} associations are open, the limit is {limit}"
    remedy = f"[receiver]\nmax_associations = {2 * limit}"
    return Refuse(_TRANSIENT, _PRESENTATION, 2, reason, remedy)


def _too_many_of_peer(
    request: Request, peers: Sequence[KnownPeer], n_of_peer: int
) -> Refuse | None:
    limits = [peer.max_associations for peer in _known(request, peers)]
    limit = max(limits, default=0) if all(limits) else 0
    if not limit or n_of_peer < limit:
        return None
    title = request.calling_ae_title.strip(" ")
    reason = f"peer {title!r} has {n_of_peer} associations open, its limit is {limit}"
    remedy = f"[[peer]]\nae_title = {json.dumps(title)}\nmax_associations = {2 * limit}"
    return Refuse(_TRANSIENT, _PRESENTATION, 2, reason, remedy)


def _address(text: str) -> IPv4Address | IPv6Address:
    # A zone index ("%eth0") is ours, not the sender's.
    address = ip_address(text.partition("%")[0])
    # A socket for both families shows IPv4 senders as ::ffff:10.1.2.3.
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address


def _peer_lines(ae_title: str, hosts: Sequence[str]) -> str:
    # A JSON string of printable text is a TOML basic string too.
    title, addresses = json.dumps(ae_title), json.dumps(list(hosts))
    return f"[[peer]]\nae_title = {title}\nhosts = {addresses}"
