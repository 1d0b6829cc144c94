"""The compose file: valid, closed to the outside, and tied to the program."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from dicomnode import config
from dicomnode.version import VERSION

FOLDER = Path(__file__).resolve().parents[3] / "deploy" / "compose"
COMPOSE: dict[str, Any] = yaml.safe_load((FOLDER / "compose.yaml").read_text("utf-8"))
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
ROLES = {"receive", "work", "keep", "deliver", "web"}
OURS = {name: SERVICES[name] for name in sorted((*ROLES, "migrate"))}


def test_it_follows_the_compose_specification() -> None:
    words = [sys.executable, "-m", "check_jsonschema", "--builtin-schema"]
    words += ["vendor.compose-spec", str(FOLDER / "compose.yaml")]
    done = subprocess.run(words, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_role_has_its_service_and_waits_for_the_database() -> None:
    assert {name: OURS[name]["command"] for name in ROLES} == {
        name: [name] for name in ROLES
    }
    assert OURS["migrate"]["command"] == ["db", "upgrade"]
    for name in ROLES:
        condition = OURS[name]["depends_on"]["migrate"]["condition"]
        assert condition == "service_completed_successfully"


@pytest.mark.parametrize("name", OURS)
def test_our_services_are_confined(name: str) -> None:
    one = OURS[name]
    assert one["image"] == f"dicomnode:${{DICOMNODE_VERSION:-{VERSION}}}"
    assert one["read_only"] is True
    assert one["cap_drop"] == ["ALL"]
    assert one["security_opt"] == ["no-new-privileges:true"]
    assert "database__url" in one["secrets"]
    assert "environment" not in one


@pytest.mark.parametrize("name", SERVICES)
def test_ports_are_published_on_this_machine_only(name: str) -> None:
    for port in SERVICES[name].get("ports", ()):
        assert port.startswith(("127.0.0.1:", "${DICOM_ADDRESS:-127.0.0.1}:"))


@pytest.mark.parametrize("name", sorted(set(SERVICES) - set(OURS)))
def test_the_others_have_health_checks_and_fixed_versions(name: str) -> None:
    one = SERVICES[name]
    assert one["healthcheck"]["test"]
    assert re.fullmatch(r"(?:[a-z]+/)?[a-z]+:v?\d[\d.]*", one["image"])
    for variable, value in one.get("environment", {}).items():
        secret = re.search("PASSWORD|SECRET|TOKEN|KEY", variable)
        assert not secret or str(value).startswith("/run/secrets/")


def test_everything_it_mounts_is_there() -> None:
    mounts = [one for service in SERVICES.values() for one in service["volumes"]]
    for source in (one.split(":")[0] for one in mounts):
        if source.startswith("."):
            assert (FOLDER / source).exists(), source
        else:
            assert source in COMPOSE["volumes"]


def test_its_configuration_is_valid_with_its_secrets(tmp_path: Path) -> None:
    shutil.copy(FOLDER / "secrets.sh", tmp_path)
    for _ in range(2):
        subprocess.run(["sh", tmp_path / "secrets.sh"], check=True)
        made = {p.name: p.read_text() for p in (tmp_path / "secrets").iterdir()}
    assert set(made) == {Path(one["file"]).name for one in COMPOSE["secrets"].values()}
    subprocess.run(["sh", tmp_path / "secrets.sh"], check=True)
    assert made == {p.name: p.read_text() for p in (tmp_path / "secrets").iterdir()}
    assert json.loads(made["orthanc_users.json"])["RegisteredUsers"]["orthanc"]
    given = config.load(
        FOLDER / "dicomnode.toml",
        environ={"CREDENTIALS_DIRECTORY": str(tmp_path / "secrets")},
    )
    assert made["postgres_password"] in given.worklist_url
    assert given.worklist_url.endswith("@postgres/dicomnode")


def test_node_and_pacs_know_each_other() -> None:
    given = config.load(FOLDER / "dicomnode.toml", environ={})
    pacs = json.loads((FOLDER / "orthanc.json").read_text("utf-8"))
    (destination,) = given.destination
    assert destination.ae_title == pacs["DicomAet"]
    assert destination.port == pacs["DicomPort"]
    assert destination.host in SERVICES
    title, host, port = pacs["DicomModalities"]["dicomnode"]
    assert (title, port) == (given.node.ae_title, given.receiver.port)
    assert host in ROLES
