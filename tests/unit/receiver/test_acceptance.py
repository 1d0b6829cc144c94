"""Who may associate, as tables."""

from __future__ import annotations

import tomllib
from dataclasses import replace
from ipaddress import ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dicomnode.domain.commitment import PUSH_MODEL
from dicomnode.receiver.acceptance import (
    Accept,
    KnownPeer,
    Policy,
    Refuse,
    Request,
    decide,
)

POLICY = Policy("DICOMNODE", max_associations=2)
PEERS = (
    KnownPeer("CT1", ("10.1.2.3",), (ip_network("10.1.2.3"),)),
    KnownPeer("CT1", ("10.9.0.0/16",), (ip_network("10.9.0.0/16"),)),
    KnownPeer("MR SIX", ("fd00::/8",), (ip_network("fd00::/8"),)),
    KnownPeer("GONE", ("no-such-host",), ()),
)
CT1_HOSTS = ("10.1.2.3", "10.9.0.0/16")
REQUEST = Request("DICOMNODE", "CT1", "10.1.2.3")


@pytest.mark.parametrize(
    "request_",
    [
        REQUEST,
        replace(REQUEST, address="10.9.200.1"),
        replace(REQUEST, address="::ffff:10.1.2.3"),
        replace(REQUEST, calling_ae_title=" CT1  "),
        replace(REQUEST, called_ae_title="DICOMNODE "),
        replace(REQUEST, calling_ae_title="MR SIX", address="fd00::7"),
        replace(REQUEST, calling_ae_title="MR SIX", address="fd00::7%eth0"),
    ],
)
def test_known_peers_come_in(request_: Request) -> None:
    assert decide(request_, POLICY, PEERS, 0) == Accept()


@pytest.mark.parametrize(
    ("request_", "n_open", "rejection", "word", "remedy"),
    [
        (
            replace(REQUEST, called_ae_title="OTHER"),
            0,
            (1, 1, 7),
            "'OTHER' is not ours",
            {"receiver": {"require_called_ae_title": False}},
        ),
        (
            replace(REQUEST, calling_ae_title="CT9", address="10.5.5.5"),
            0,
            (1, 1, 3),
            "'CT9' is not a known peer",
            {"peer": [{"ae_title": "CT9", "hosts": ["10.5.5.5"]}]},
        ),
        (
            replace(REQUEST, calling_ae_title="ct1"),
            0,
            (1, 1, 3),
            "not a known peer",
            {"peer": [{"ae_title": "ct1", "hosts": ["10.1.2.3"]}]},
        ),
        (
            replace(REQUEST, address="10.1.2.4"),
            0,
            (1, 1, 3),
            "10.1.2.4 is no address of peer 'CT1'",
            {"peer": [{"ae_title": "CT1", "hosts": [*CT1_HOSTS, "10.1.2.4"]}]},
        ),
        (
            replace(REQUEST, calling_ae_title="GONE"),
            0,
            (1, 1, 3),
            "no address of peer 'GONE'",
            {"peer": [{"ae_title": "GONE", "hosts": ["no-such-host", "10.1.2.3"]}]},
        ),
        (
            REQUEST,
            2,
            (2, 3, 2),
            "the limit is 2",
            {"receiver": {"max_associations": 4}},
        ),
    ],
)  # fmt: skip
def test_a_refusal_names_reason_and_the_lines_that_admit(
    request_: Request,
    n_open: int,
    rejection: tuple[int, int, int],
    word: str,
    remedy: dict[str, object],
) -> None:
    decision = decide(request_, POLICY, PEERS, n_open)
    assert isinstance(decision, Refuse)
    assert (decision.result, decision.source, decision.diagnostic) == rejection
    assert word in decision.reason
    assert tomllib.loads(decision.remedy) == remedy


def test_another_application_context_is_refused() -> None:
    decision = decide(replace(REQUEST, application_context="1.2.3"), POLICY, PEERS, 0)
    assert isinstance(decision, Refuse)
    assert (decision.result, decision.source, decision.diagnostic) == (1, 1, 2)


def test_the_switches_open_the_door() -> None:
    stranger = Request("ANY", "WHO", "10.5.5.5")
    policy = Policy("DICOMNODE", require_called_ae_title=False)
    assert isinstance(decide(stranger, policy, PEERS, 0), Refuse)
    assert decide(stranger, replace(policy, accept_unknown_peers=True), PEERS, 0) == (
        Accept()
    )


PACS = KnownPeer("PACS", ("10.7.7.7",), (ip_network("10.7.7.7"),), reports_only=True)
REPORT = Request(
    "DICOMNODE", "PACS", "10.7.7.7", abstract_syntaxes=frozenset({PUSH_MODEL})
)


def test_a_destination_comes_in_to_report_and_not_to_store() -> None:
    reports = Accept(may_store=False, may_commit=False, reports_only=True)
    assert decide(REPORT, POLICY, (*PEERS, PACS), 0) == reports
    too = KnownPeer("PACS", ("10.7.0.0/16",), (ip_network("10.7.0.0/16"),))
    assert decide(REPORT, POLICY, (PACS, too), 0) == Accept(may_store=True)


@pytest.mark.parametrize(
    "request_",
    [
        replace(REPORT, abstract_syntaxes=frozenset({"1.2.840.10008.5.1.4.1.1.2"})),
        replace(REPORT, address="10.7.7.8"),
    ],
)
def test_a_destination_that_wants_more_must_be_a_peer(request_: Request) -> None:
    decision = decide(request_, POLICY, (*PEERS, PACS), 0)
    assert isinstance(decision, Refuse)
    assert tomllib.loads(decision.remedy)["peer"][0]["hosts"] == [request_.address]


@given(
    calling=st.text(st.characters(codec="ascii", exclude_characters="\\"), max_size=16),
    address=st.one_of(st.ip_addresses(v=4), st.ip_addresses(v=6)),
)
def test_following_the_remedy_admits(calling: str, address: object) -> None:
    request = Request("DICOMNODE", calling, str(address))
    decision = decide(request, POLICY, (), 0)
    assert isinstance(decision, Refuse)
    peers = [
        KnownPeer(
            peer["ae_title"],
            tuple(peer["hosts"]),
            tuple(ip_network(host) for host in peer["hosts"]),
        )
        for peer in tomllib.loads(decision.remedy)["peer"]
    ]
    assert decide(request, POLICY, peers, 0) == Accept()
