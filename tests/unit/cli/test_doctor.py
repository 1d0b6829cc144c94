"""`doctor`: each condition with its remedy, 3 when one fails; `support-bundle`."""

from __future__ import annotations

import json
import os
import socket
import zipfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from typer.testing import CliRunner

from dicomnode import config as configuration
from dicomnode.cli import callups, checkups, doctor, modelling, storage
from dicomnode.cli.app import app
from dicomnode.cli.checkups import Look, State
from dicomnode.cli.scrubbing import Scrubber, names_of
from dicomnode.config import Config
from dicomnode.worklist import upgrade
from tests.integration.collector import Collector, authority, server_context
from tests.object_server import ObjectServer

NOWHERE = {"CREDENTIALS_DIRECTORY": "/nonexistent"}


def configured(folder: Path, text: str = "") -> Config:
    file = folder / "config.toml"
    file.write_text('[receiver]\nhost = "127.0.0.1"\nport = 0\n' + text)
    given = configuration.load(file, environ=NOWHERE)
    given.node.data_dir.mkdir(exist_ok=True)
    return given


def only(looks) -> Look:
    (look,) = looks
    return look


def test_a_sound_database_and_what_sqlite_it_is(tmp_path: Path) -> None:
    given = configured(tmp_path)
    upgrade(given.worklist_url)
    looks = {look.name: look for look in checkups.database(given)}
    assert looks["database"].state is State.OK
    assert looks["lock"].state is State.OK
    assert looks["sqlite"].state in (State.OK, State.WARN)


def test_no_database_and_a_damaged_one_fail(tmp_path: Path) -> None:
    given = configured(tmp_path)
    look = only(checkups.database(given))
    assert look.state is State.FAIL
    assert "dicomnode" in look.remedy
    (given.node.data_dir / "worklist.db").write_bytes(b"no database" * 1000)
    assert only(checkups.database(given)).state is State.FAIL


def test_a_full_disk_fails_and_a_nearly_full_one_warns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = configured(tmp_path)
    for used, state in ((50, State.OK), (86, State.WARN), (95, State.FAIL)):
        usage = (100, used, 100 - used)
        monkeypatch.setattr(
            checkups.shutil,
            "disk_usage",
            lambda _, usage=usage: checkups.shutil._ntuple_diskusage(*usage),
        )
        assert only(checkups.disk(given)).state is state


def test_a_folder_that_is_not_there_fails(tmp_path: Path) -> None:
    given = configured(tmp_path)
    given.node.data_dir.rmdir()
    assert only(checkups.disk(given)).state is State.FAIL


@pytest.mark.parametrize(
    ("days", "state"), [(60, State.OK), (10, State.WARN), (-1, State.FAIL)]
)
def test_certificates_are_looked_at_before_they_end(
    tmp_path: Path, days: int, state: State
) -> None:
    certificate, key = authority(tmp_path).issue("node", days=days)
    files = f'certificate = "{certificate}"\nprivate_key = "{key}"\n'
    given = configured(tmp_path, f'[audit.syslog]\nhost = "h"\n{files}')
    look = only(checkups.certificates(given))
    assert look.state is state
    until = datetime.now(UTC) + timedelta(days=days)
    assert f"{until:%Y-%m}" in look.said


def test_a_certificate_that_is_none_fails(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("no certificate")
    given = configured(tmp_path, '[audit.syslog]\nhost = "h"\nca = "ca.pem"\n')
    assert only(checkups.certificates(given)).state is State.FAIL


def test_a_port_that_another_program_has_fails(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        given = configured(tmp_path)
        taken = given.receiver.model_copy(update={"port": port})
        look = only(checkups.ports(given.model_copy(update={"receiver": taken})))
    assert look.state is State.FAIL
    assert "receiver.port" in look.remedy
    assert only(checkups.ports(given)).state is State.OK


def test_every_codec_is_there() -> None:
    assert only(checkups.codecs()).state is State.OK


def test_the_clock_is_after_this_program_was_made() -> None:
    assert only(checkups.clock()).state in (State.OK, State.WARN)


def test_a_destination_that_does_not_answer_fails(tmp_path: Path, free_port) -> None:
    given = configured(
        tmp_path,
        '[[destination]]\nname = "PACS"\nae_title = "PACS"\nhost = "127.0.0.1"\n'
        f"port = {free_port()}\n",
    )
    look = only(callups.destinations(given))
    assert look.state is State.FAIL
    assert look.remedy


def test_the_collector_is_asked_and_what_waits_is_said(
    tmp_path: Path, free_port
) -> None:
    signer = authority(tmp_path)
    text = '[audit.syslog]\nhost = "127.0.0.1"\nport = {port}\nca = "ca.pem"\n'
    with Collector(server_context(signer)) as collector:
        given = configured(tmp_path, text.format(port=collector.port))
        assert only(callups.collector(given)).state is State.OK
    given = configured(tmp_path, text.format(port=free_port()))
    look = only(callups.collector(given))
    assert look.state is State.WARN
    assert "0 bytes of the trail wait" in look.said


def test_a_bundle_that_is_not_there_fails(tmp_path: Path) -> None:
    given = configured(
        tmp_path,
        '[[pipeline]]\nname = "p"\nbundle = "missing"\nmatch = {}\nmode = "shadow"\n',
    )
    look = only(modelling.bundles(given))
    assert look.state is State.FAIL
    assert "missing" in look.said


def test_a_torch_that_does_not_load_is_told_and_not_raised(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = "import sys; sys.exit('operator torchvision::nms does not exist')"
    monkeypatch.setattr(modelling, "_TORCH", broken)
    look = only(modelling.torch_and_gpu(configured(tmp_path)))
    assert look.state is State.FAIL
    assert "nms does not exist" in look.said


def test_a_gpu_that_is_asked_for_and_not_there_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = '{"torch": "2", "torchvision": "0", "cuda": null, "gpus": %s}'
    for gpus, device, state in (
        ("[]", "auto", State.OK),
        ("[]", "cuda", State.FAIL),
        ('[["H100", "sm_90", true]]', "auto", State.OK),
        ('[["K80", "sm_37", false]]', "auto", State.WARN),
    ):
        program = f"print('''{said % gpus}''')"
        monkeypatch.setattr(modelling, "_TORCH", program)
        given = configured(tmp_path, f'[worker]\ndevice = "{device}"\n')
        *_, look = modelling.torch_and_gpu(given)
        assert look.state is state, (gpus, device)


def test_the_command_ends_with_3_when_something_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor, "_CHILDREN", ())
    configured(tmp_path)
    words = ["doctor", "--offline", "--json", "--config", str(tmp_path / "config.toml")]
    ended = CliRunner().invoke(app, words)
    looks = [json.loads(line) for line in ended.stdout.splitlines()]
    assert ended.exit_code == 3
    assert {look["state"] for look in looks} <= {"ok", "warn", "fail"}
    assert all(look["remedy"] for look in looks if look["state"] != "ok")
    upgrade(configured(tmp_path).worklist_url)
    assert CliRunner().invoke(app, words).exit_code == 0


def test_pseudonyms_are_the_same_in_one_bundle_and_different_in_the_next() -> None:
    one, other = Scrubber(["CT-ROOM-1"]), Scrubber(["CT-ROOM-1"])
    text = "CT-ROOM-1 from 10.1.2.3 sent 1.2.840.99.1.2.3.4 as 1.2.840.10008.1.2"
    said = one.text(text)
    assert said == one.text(text)
    assert said != other.text(text)
    for hidden in ("CT-ROOM-1", "10.1.2.3", "1.2.840.99"):
        assert hidden not in said
    assert "1.2.840.10008.1.2" in said, "a transfer syntax says nothing of a patient"


SECRETS = """
[node]
ae_title = "NORTHNODE"

[[peer]]
ae_title = "NORTHCT"
hosts = ["10.77.1.2", "ct.north.example"]

[[pipeline]]
name = "p"
bundle = "cxr-qc"
match = { InstitutionName = "North Hospital" }
mode = "shadow"
"""


def test_a_support_bundle_holds_no_secret_and_no_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor, "_CHILDREN", ())
    configured(tmp_path, SECRETS)
    monkeypatch.setenv(
        "DICOMNODE_DATABASE__URL",
        "postgresql+psycopg://northuser:hunter2pass@127.0.0.1:1/northdb",
    )
    log = tmp_path / "node.log"
    lines = [
        {"event": "receiver.kept", "calling_ae_title": "NORTHCT", "patient": "DOE"},
        {"event": "x", "address": "10.77.1.2", "study_instance_uid": "1.2.3.4.5.6"},
    ]
    log.write_text("\n".join(["DOE^JOHN in plain text", *map(json.dumps, lines)]))
    file = tmp_path / "bundle.zip"
    words = ["support-bundle", "--no-phi", "--offline", "--out", str(file)]
    words += ["--log", str(log), "--config", str(tmp_path / "config.toml")]
    ended = CliRunner().invoke(app, words)
    assert ended.exit_code == 0, ended.output
    with zipfile.ZipFile(file) as archive:
        texts = {name: archive.read(name).decode() for name in archive.namelist()}
    whole = "\n".join(texts.values()) + ended.output
    hidden = (
        "hunter2pass", "northuser", "northdb", "NORTHCT", "NORTHNODE", "10.77.1.2",
        "north.example", "North Hospital", "DOE", "1.2.3.4.5.6",
    )  # fmt: skip
    assert [word for word in hidden if word in whole] == []
    assert "receiver.kept" in texts["log-0.jsonl"]
    assert "lines that are no JSON object" in texts["log-0.jsonl"]
    assert 'pipeline[1].bundle = "cxr-qc"' in texts["config.txt"]
    assert {"versions.json", "doctor.jsonl", "database.json"} <= set(texts)


def test_a_bundle_with_patient_data_is_not_made(tmp_path: Path) -> None:
    configured(tmp_path)
    words = ["support-bundle", "--config", str(tmp_path / "config.toml")]
    ended = CliRunner().invoke(app, words)
    assert ended.exit_code == 2
    assert not list(tmp_path.glob("*.zip"))


def test_names_of_a_configuration_are_all_found(tmp_path: Path) -> None:
    found = set(names_of(configured(tmp_path, SECRETS)))
    assert {"NORTHNODE", "NORTHCT", "10.77.1.2", "ct.north.example"} <= found
    assert os.uname().nodename in found


def test_an_object_store_is_tried_and_the_spool_looked_at(
    tmp_path: Path, s3_server: ObjectServer
) -> None:
    bucket = s3_server.new_place().bucket
    text = f"""[store]
url = "s3://{bucket}/node"
endpoint = "{s3_server.endpoint}"
timeout_seconds = 1
spool = true
"""
    given = configured(tmp_path, text)
    *stores, spool = storage.object_store(given)
    assert [look.state for look in stores] == [State.OK, State.OK]
    assert stores[0].said == f"s3://{bucket}/node/instances can be written and read"
    assert spool.said == "everything is handed over"
    waiting = given.node.data_dir / "instances" / "ab" / "1.2" / "1.2.3.ff.dcm"
    waiting.parent.mkdir(parents=True)
    waiting.write_bytes(b"")
    *_, spool = storage.object_store(given)
    assert (spool.state, spool.said[:15]) == (State.OK, "1 file(s) wait,")
    os.utime(waiting, (0, 0))
    *_, spool = storage.object_store(given)
    assert spool.state is State.WARN
    missing = configured(tmp_path, text.replace(bucket, "no-such-bucket"))
    look = next(storage.object_store(missing))
    assert look.state is State.FAIL
    assert "bucket" in look.remedy


def test_without_an_object_store_there_is_nothing_to_look_at(tmp_path: Path) -> None:
    assert not list(storage.object_store(configured(tmp_path)))
