"""A whole node with its instances and results in an object store, behind a spool."""

from __future__ import annotations

import os
import random
import time
import uuid
from socket import gethostname

import pytest

from dicomnode.demo.program import Program, free_port
from dicomnode.store.bucket import Place
from tests.faults.chain import StoreScp, radiograph
from tests.faults.modality import send
from tests.faults.spoiling import cut, spoiler
from tests.integration.rig import Node

pytestmark = pytest.mark.peer


def stores(node, place):
    """Have a node use the bucket; without a place of its own for the results."""
    added = f"""
url = "s3://{place.bucket}/node"
endpoint = "{place.endpoint}"
timeout_seconds = 2
spool = true
"""
    text = node.config.read_text()
    text = text.replace("[receiver]", f"{added}\n[receiver]", 1)
    # However long the outage takes here, the job is tried again after it.
    text = text.replace("retry_seconds = [1, 1, 1]", f"retry_seconds = {[1] * 99}", 1)
    node.config.write_text(text.replace("max_attempts = 10", "max_attempts = 999"))


def on_disk(node):
    """Instances and results in the data folder, whatever else lies there."""
    return [path.name for path in (node.folder / "var").rglob("*.dcm")]


def test_60_a_node_takes_studies_during_an_outage_and_ends_them_after_it(
    tmp_path, s3_server, require_command
):
    for name in ("storescu", "storescp", "echoscu"):
        require_command(name)
    place = s3_server.new_place()
    bucket = s3_server.opened(Place(place.bucket, "node"))
    with spoiler(s3_server.port) as proxy, StoreScp(tmp_path) as pacs:
        node = Node(tmp_path / "node", pacs.port)
        stores(
            node,
            Place(place.bucket, "node", f"http://127.0.0.1:{proxy.port}"),
        )
        sample = radiograph(tmp_path, random.Random(uuid.uuid4().int))
        with node.running():
            proxy.always = cut
            assert send(node.port, [sample]) == [sample]
            node.wait(
                lambda: bool(node.events("job postpone")), "a job to be postponed"
            )
            assert on_disk(node)
            assert not list(bucket.objects())
            assert node.cli("status").stdout.count("wait for the object store") == 1
            proxy.always = None
            (row,) = node.settle([sample.study_instance_uid])
            assert (row["job_state"], row["outcome"]) == ("COMPLETED", "ANALYSED")
            node.wait(lambda: not on_disk(node), "the spool to be empty")
        results = {one["sop_instance_uid"] for one in node.views.deliveries()}
        stored = [one.name.split("/") for one in bucket.objects()]
        assert [name for kind, *_, name in stored if kind == "instances"]
        names = sorted(name for kind, *_, name in stored if kind == "results")
        assert [name.rsplit(".", 2)[0] for name in names] == sorted(results)
        assert len(pacs.contents()) == len(results)
        assert node.cli("reconcile").returncode == 0
        uid = sample.study_instance_uid
        done = node.cli("purge", "--study", uid, "--reason", "test", "--yes")
        assert done.returncode == 0, done.stdout + done.stderr
        assert not list(bucket.objects())


def test_a_receiver_empties_the_quarantine_of_its_own_disk(
    tmp_path, s3_server, require_command
):
    """The keeper may be on another host, which cannot see what was set aside here."""
    node = Node(tmp_path / "node", free_port())
    stores(node, s3_server.new_place())
    text = node.config.read_text().replace("[web]", _QUARANTINE, 1)
    node.config.write_text(text)
    folder = node.folder / "var" / "instances" / "quarantine"
    folder.mkdir(parents=True)
    old, young = folder / "old.dcm", folder / "young.dcm"
    for path, days in ((old, 3), (young, 0)):
        path.write_bytes(b"refused")
        at = time.time() - days * 86400
        os.utime(path, (at, at))
    part = node.folder / "var" / "instances" / "incoming" / "x.part"
    part.parent.mkdir()
    part.write_bytes(b"died")
    os.utime(part, (0, 0))
    argv, log = node._argv("receive"), tmp_path / "receive.log"
    with Program("receive", argv, log, node._environ()) as node.program:
        node.wait(lambda: not old.exists(), "the quarantine to be emptied")
        node.wait(lambda: not part.exists(), "what died to be removed")
        node.wait(lambda: node.events("node quarantine empty"), "what it did")
        [event] = node.events("node quarantine empty")
        assert event["detail"].startswith("1 refused data set(s) removed")
        [role] = node.views.roles()
        assert (role["role"], role["host"]) == ("receive", gethostname())
    assert young.exists()
    assert not node.views.roles()


_QUARANTINE = "[retention]\nquarantine_days = 2\n\n[web]"
