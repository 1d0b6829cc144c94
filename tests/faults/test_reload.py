"""Fault 51: the configuration is changed while the node runs, wrongly and rightly."""

from __future__ import annotations

import os
import random
import signal
import subprocess
from pathlib import Path

import model
from dicomnode.processes.lock import holder
from tests.faults.chain import StoreScp, radiograph
from tests.integration.rig import Node, storescu

NEW_PEER = '\n[[peer]]\nae_title = "CT2"\nhosts = ["127.0.0.1"]\n'


def test_51_a_running_node_keeps_the_old_configuration_until_a_right_one_comes(
    tmp_path,
):
    node = Node(tmp_path / "node", pacs_port=1)
    with StoreScp(tmp_path) as pacs, node.running():
        node.wait(lambda: starts(node) == 4, "every role to be started")
        edit(node, 'Modality = ["CR", "DX"]', 'Modality = ["MG"]')
        assert reloaded(node).stdout == "taken: pipeline[1].match\n"

        a_wrong_file_is_refused(node)
        assert node.echoes()
        assert not calls(node, "CT2")
        # Status reads the file too; what it says of the running node stays.
        edit(node, "quiet_second = 3\n", "")
        told = node.cli("status")
        assert "goes on with the old one" in told.stdout
        assert "then `dicomnode reload`" in told.stdout

        edit(node, 'Modality = ["MG"]', 'Modality = ["DX"]')
        edit(node, "port = 1\n", f"port = {pacs.port}\n")
        edit(node, f"port = {node.port}", f"port = {node.port + 1}")
        node.config.write_text(node.config.read_text() + NEW_PEER)
        taken = reloaded(node).stdout.splitlines()
        assert "destination[1].port" in taken[0]
        assert "peer[3]" in taken[0]
        assert taken[1] == "needs a restart: receiver.port"
        assert "goes on with the old one" not in node.cli("status").stdout

        # When the command has returned, the receiver goes by the new file.
        assert calls(node, "CT2")
        sample = radiograph(tmp_path, random.Random(51))
        assert storescu(node.port, [sample.path], aet="CT2").returncode == 0
        (row,) = node.settle([sample.study_instance_uid])
        assert (row["job_state"], row["outcome"]) == ("COMPLETED", "ANALYSED")
        assert len(pacs.contents()) == len(node.views.deliveries())
        a_bundle_that_is_new_on_the_shelf_is_taken(node)
        assert starts(node) == 4, "a role was started anew"
    assert reload_without_a_node(node).returncode == 1


def a_wrong_file_is_refused(node: Node) -> None:
    edit(node, "[study]", "[study]\nquiet_second = 3")
    line = node.config.read_text().splitlines().index("quiet_second = 3") + 1
    os.kill(holder(node.folder / "var"), signal.SIGHUP)
    node.wait(lambda: node.events("node config refuse"), "the refusal")
    (event,) = node.events("node config refuse")
    assert f"config.toml:{line}: " in event["detail"]
    assert "did you mean `quiet_seconds`" in event["detail"]
    given = node.cli("reload")
    assert given.returncode == 2
    assert f"config.toml:{line}: " in given.stderr


def a_bundle_that_is_new_on_the_shelf_is_taken(node: Node) -> None:
    (before,) = live_workers(node)
    shipped = Path(model.__file__).parent / "bundles" / "cxr-qc"
    told = node.cli("model", "install", str(shipped))
    assert "after `dicomnode reload`" in told.stdout
    assert reloaded(node).stdout.startswith("taken: nothing has changed in the file")
    node.wait(lambda: live_workers(node) not in ([], [before]), "the worker anew")
    # Once it has taken the bundle, another reload lets it be.
    (now,) = live_workers(node)
    reloaded(node)
    assert live_workers(node) == [now]


def live_workers(node: Node) -> list[str]:
    rows = node.views.workers()
    return [row["worker_id"] for row in rows if row["state"] in ("IDLE", "BUSY")]


def reloaded(node: Node) -> subprocess.CompletedProcess[str]:
    told = node.cli("reload")
    assert told.returncode == 0, told.stderr
    return told


def reload_without_a_node(node: Node) -> subprocess.CompletedProcess[str]:
    told = node.cli("reload")
    assert "start it, it reads the file" in told.stderr
    return told


def edit(node: Node, old: str, new: str) -> None:
    text = node.config.read_text()
    assert old in text
    node.config.write_text(text.replace(old, new, 1))


def calls(node: Node, ae_title: str) -> bool:
    argv = ["echoscu", "-aet", ae_title, "-aec", "DICOMNODE", "-to", "2"]
    argv += ["127.0.0.1", str(node.port)]
    return subprocess.run(argv, capture_output=True).returncode == 0


def starts(node: Node) -> int:
    """How often the supervisor has started a role."""
    return len(node.said("supervisor.started"))
