"""Fixtures shared by all tests: real data, real peers, loopback only."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from dicomnode.demo.program import free_port as find_port
from tests.object_server import ObjectServer

ROOT = Path(__file__).resolve().parent.parent

# An example may take its time on a busy machine.
settings.register_profile("unhurried", settings(), deadline=None)
settings.load_profile("unhurried")


def unavailable(reason: str) -> None:
    """Skip on a laptop, fail in CI: a missing peer must never look like a pass."""
    if os.environ.get("CI") == "true":
        pytest.fail(f"{reason}; in CI every peer is required")
    pytest.skip(reason)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real images and DICOM files beside the checkout."""
    folder = Path(
        os.environ.get("DICOMNODE_TEST_DATA", ROOT.parent / "shared" / "data")
    )
    if not folder.is_dir():
        unavailable(f"no real test data at {folder}; set DICOMNODE_TEST_DATA")
    return folder


@pytest.fixture(scope="session")
def require_command() -> Callable[[str], str]:
    """A function that gives the path of an installed program, or skips."""

    def require(name: str) -> str:
        path = shutil.which(name) or shutil.which(name, path="/usr/sbin:/sbin")
        if path is None:
            unavailable(f"{name} is not installed; `make peers` installs it as root")
        return str(path)

    return require


@pytest.fixture(scope="session")
def s3_server() -> Iterator[ObjectServer]:
    """A server of the S3 protocol on the loopback, with its credentials in use."""
    with ObjectServer.running() as server:
        yield server


@pytest.fixture(autouse=True, scope="session")
def interruptible() -> Iterator[None]:
    """A shell's background job ignores SIGINT, and so would what we start and stop."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def free_port() -> Callable[[], int]:
    """A function that gives a TCP port of the loopback that is free just now."""

    return find_port
