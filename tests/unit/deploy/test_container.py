"""The container file: linted, and tied to the program that it runs."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from types import ModuleType

import pytest

from dicomnode.config import Config
from dicomnode.version import VERSION
from tests.conftest import unavailable
from tests.integration.receiving import receiving

ROOT = Path(__file__).resolve().parents[3]
FOLDER = ROOT / "deploy" / "container"
TEXT = (FOLDER / "Containerfile").read_text("utf-8")
# Instructions with their continued lines, comments left out.
LINES = [
    re.sub(r"\\\n\s*", " ", line).strip()
    for line in re.findall(r"^[A-Z]+ (?:.*\\\n)*.*$", TEXT, re.MULTILINE)
]


def arguments(instruction: str) -> list[str]:
    return [line.partition(" ")[2] for line in LINES if line.split()[0] == instruction]


def test_hadolint_finds_nothing() -> None:
    program = Path(sys.executable).parent / "hadolint"
    if not program.is_file():
        unavailable("hadolint is not installed; the extra dev has it")
    done = subprocess.run(
        [program, FOLDER / "Containerfile"], capture_output=True, text=True
    )
    assert done.stdout + done.stderr == ""


def test_it_runs_as_nobody_and_ends_in_order() -> None:
    (user,) = arguments("USER")
    assert user == "10001:10001"
    assert arguments("STOPSIGNAL") == ["SIGTERM"]
    assert arguments("ENTRYPOINT") == ['["dicomnode"]']
    assert LINES.index("USER 10001:10001") < LINES.index('CMD ["run"]')


def test_it_is_built_offline_and_only_from_what_the_lock_names() -> None:
    installs = [one for one in arguments("RUN") if "pip install" in one]
    assert len(installs) == 1
    for option in ("--no-index", "--require-hashes", "--find-links"):
        assert option in installs[0]
    assert "sha256sum --check" in installs[0]
    assert not re.search(r"https?://|apt-get|curl|wget", TEXT)
    assert all("/" not in one.split()[0] for one in arguments("FROM"))


def test_both_variants_can_be_chosen() -> None:
    stages = {one.split()[-1] for one in arguments("FROM") if " AS " in one}
    assert {"runtime-cpu", "runtime-cuda"} <= stages
    assert arguments("FROM")[-1] == "runtime-${VARIANT}"


def test_its_ports_and_variables_are_those_of_the_configuration() -> None:
    defaults = Config(node={}).receiver, Config(node={}).web
    receiver, web = defaults
    (ports,) = arguments("EXPOSE")
    wanted = [receiver.port, receiver.tls.port, web.port]
    assert ports.split() == [str(port) for port in wanted]
    for section, key in re.findall(r"DICOMNODE_([A-Z]+)__([A-Z_]+)=", TEXT):
        table = getattr(Config(node={}), section.lower())
        assert key.lower() in type(table).model_fields
    assert f"dicomnode:{VERSION} " in TEXT


def test_only_what_it_copies_is_sent_to_the_builder() -> None:
    allowed = (FOLDER / "Containerfile.dockerignore").read_text("utf-8").split()
    assert allowed == ["*", "!wheelhouse*", "!deploy/container/healthcheck.py"]


# the health check


@pytest.fixture(scope="module")
def healthcheck() -> ModuleType:
    path = FOLDER / "healthcheck.py"
    spec = importlib.util.spec_from_file_location("healthcheck", path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_receiver_that_listens_is_alive_and_keeps_no_trace(
    healthcheck: ModuleType, tmp_path: Path
) -> None:
    with receiving(tmp_path) as node:
        environ = {"DICOMNODE_RECEIVER__PORT": str(node.port)}
        for _ in range(20):
            assert healthcheck.is_alive(["dicomnode", "receive"], environ)
    assert not node.intake.associations
    assert not node.intake.refusals
    assert not healthcheck.is_alive(["dicomnode", "receive"], environ)


@contextmanager
def answering(status: int) -> Iterator[int]:
    asked: list[str] = []

    class Pages(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(status)
            self.end_headers()

        def log_message(self, *_: object) -> None: ...

    with HTTPServer(("127.0.0.1", 0), Pages) as server:
        thread = threading.Thread(target=server.handle_request)
        thread.start()
        yield server.server_port
        thread.join()
    assert asked == ["/healthz"]


@pytest.mark.parametrize(("status", "alive"), [(200, True), (503, False)])
def test_pages_are_alive_when_they_say_so(
    healthcheck: ModuleType, status: int, alive: bool
) -> None:
    with answering(status) as port:
        environ = {"DICOMNODE_WEB__PORT": str(port)}
        assert healthcheck.is_alive(["dicomnode", "web"], environ) is alive


def test_other_roles_are_alive_while_they_run(healthcheck: ModuleType) -> None:
    for role in ("work", "keep", "deliver"):
        assert healthcheck.is_alive(["dicomnode", role], {})
