"""Hosts of peers: addresses, networks, names that move."""

from __future__ import annotations

from ipaddress import ip_network

from dicomnode.receiver.peers import Peer, Peers, addresses


def test_addresses_and_networks_are_taken_as_they_are() -> None:
    peers = Peers([Peer("CT1", ("10.1.2.3", "10.9.1.1/16", "fd00::1"))], lookup=refuse)
    (known,) = peers.known()
    assert known.ae_title == "CT1"
    assert known.networks == (
        ip_network("10.1.2.3/32"),
        ip_network("10.9.0.0/16"),
        ip_network("fd00::1/128"),
    )


def test_a_name_is_looked_up_again_after_a_minute() -> None:
    now, answers, asked = [0.0], [["10.0.0.1"], [], ["10.0.0.2", "fe80::2%eth0"]], []

    def lookup(host: str) -> list[str]:
        asked.append(host)
        return answers.pop(0)

    peers = Peers([Peer("CT1", ("scanner",))], lookup, monotonic=lambda: now[0])
    assert peers.known()[0].networks == (ip_network("10.0.0.1"),)
    now[0] = 59
    assert peers.known()[0].networks == (ip_network("10.0.0.1"),)
    now[0] = 60
    assert peers.known()[0].networks == ()
    now[0] = 120
    found = (ip_network("10.0.0.2"), ip_network("fe80::2"))
    assert peers.known()[0].networks == found
    assert asked == ["scanner"] * 3


def test_the_system_knows_localhost_and_not_an_invalid_name() -> None:
    assert "127.0.0.1" in addresses("localhost")
    assert addresses("no such host") == ()


def refuse(host: str) -> list[str]:
    raise AssertionError(f"{host} needs no look-up")


def test_who_only_reports_is_not_looked_up_for_the_others() -> None:
    asked: list[str] = []

    def lookup(host: str) -> tuple[str, ...]:
        asked.append(host)
        return ("10.1.1.1",)

    peers = Peers(
        [Peer("CT1", ("10.2.2.2",)), Peer("PACS", ("pacs",), reports_only=True)], lookup
    )
    assert [one.ae_title for one in peers.known(reports=False)] == ["CT1"]
    assert asked == []
    assert [one.reports_only for one in peers.known()] == [False, True]
    assert asked == ["pacs"]
