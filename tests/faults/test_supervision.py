"""Fault 52: a role that dies again and again, under the real supervisor."""

from __future__ import annotations

from tests.integration.rig import Node


def test_52_a_role_that_dies_again_and_again_is_seen_with_its_remedy(tmp_path):
    node = Node(tmp_path / "node", pacs_port=1)
    with node.running():
        for number in range(1, 4):
            node.wait(lambda: keepers(node) == 1, "the keeper")
            node.kill("keep")
            node.wait(lambda: len(ends(node)) == number, "the event")  # noqa: B023
        told = node.cli("status")
    assert told.returncode == 3
    assert "the role keep has ended 3 times in 10 min" in told.stdout
    assert "read its log, then try `dicomnode keep` alone" in told.stdout
    delays = [
        float(text.rpartition("in ")[2].removesuffix(" s")) for text in ends(node)
    ]
    assert delays == sorted(set(delays))


def keepers(node: Node) -> int:
    return sum("keep" in words for _, words in node.processes())


def ends(node: Node) -> list[str]:
    return [
        one["detail"]
        for one in node.views.events()
        if one["kind"] == "node role end" and one["detail"].startswith("keep: ")
    ]
