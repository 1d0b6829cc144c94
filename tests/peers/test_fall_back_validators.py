"""What is sent in place of a refused report passes the same validators."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from dicomnode.domain.findings import StudyFindings
from dicomnode.results import build, encode
from dicomnode.results.alternates import in_profile
from tests.unit.results import cases

pytestmark = pytest.mark.peer

CASES: dict[str, StudyFindings] = {
    "positive": cases.positive(),
    "not-analysed": cases.not_analysed(),
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("profile", ["comprehensive", "enhanced"])
def test_dciodvfy_finds_nothing(
    require_command: Callable[[str], str], tmp_path: Path, case: str, profile: str
) -> None:
    context = cases.context(profile="comprehensive-3d")
    report = build(context, CASES[case], ["sr"])[0]
    path = tmp_path / "report.dcm"
    path.write_bytes(encode(in_profile(encode(report.dataset), profile).dataset))
    argv = [require_command("dciodvfy"), str(path)]
    done = subprocess.run(argv, capture_output=True, text=True, errors="replace")
    lines = (done.stdout + done.stderr).splitlines()
    assert not [one for one in lines if one.startswith(("Error", "Warning"))], lines
