"""A hospital group in small: hosts that are killed, cut off, without their database."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable

import pytest

from tests.conftest import unavailable
from tests.contract.worklist.cluster import find_binaries

pytestmark = pytest.mark.peer


def test_a_group_of_hosts_loses_nothing(require_command: Callable[[str], str]) -> None:
    for name in ("storescu", "storescp", "ip", "nsenter", "unshare"):
        require_command(name)
    if find_binaries() is None:
        unavailable("PostgreSQL (initdb, pg_ctl) is not installed")
    # A host's database and roles change their user, so root of a namespace will not do.
    probe = subprocess.run(["unshare", "--net", "true"], capture_output=True)
    if probe.returncode:
        unavailable("no network namespaces: needs root")
    argv = [sys.executable, "-m", "tests.faults.hosts"]
    done = subprocess.run(argv, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "nothing lost, nothing twice, the queue is empty" in done.stdout
