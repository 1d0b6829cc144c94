"""A wheelhouse holds the lock and our own wheel, and installs without network."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import venv
from pathlib import Path

import pytest

from tests.architecture.test_supply import ROOT, loaded

LOCK = (ROOT / "requirements.txt").read_text("utf-8")


@pytest.fixture(scope="module")
def program():
    return loaded("wheelhouse")


@pytest.fixture
def house(tmp_path: Path) -> Path:
    """A folder with a wheel of ours and one of somebody else."""
    (tmp_path / "dicomnode-1.2.3-py3-none-any.whl").write_bytes(b"ours")
    (tmp_path / "other-1.0-py3-none-any.whl").write_bytes(b"other")
    return tmp_path


def lock_of(program, house: Path) -> str:
    digest = program.sha256(house / "other-1.0-py3-none-any.whl")
    return f"other==1.0 \\\n    --hash=sha256:{digest}\n"


def test_the_target_downloads_the_lock_and_nothing_else() -> None:
    makefile = (ROOT / "Makefile").read_text("utf-8")
    recipe = makefile.partition("\nwheelhouse:")[2].partition("\n\n")[0]
    (download,) = re.findall(r"download ((?:.*\\\n)*.*)", recipe)
    assert re.findall(r"-r (\S+)", download) == ["requirements.txt"]
    assert "--require-hashes" in download
    assert "--no-deps" in download
    assert "--no-index" in recipe.partition("wheel --quiet")[2]


def test_one_list_with_hashes_installs_all(program, house: Path) -> None:
    lock = lock_of(program, house)
    assert program.complete(house, lock) == 2
    text = (house / "requirements.txt").read_text("utf-8")
    digest = program.sha256(house / "dicomnode-1.2.3-py3-none-any.whl")
    assert text == f"{lock}dicomnode==1.2.3 --hash=sha256:{digest}\n"


@pytest.mark.skipif(shutil.which("sha256sum") is None, reason="no sha256sum")
def test_the_checksums_are_those_of_the_files(program, house: Path) -> None:
    program.complete(house, lock_of(program, house))
    check = ["sha256sum", "--check", "--strict", "SHA256SUMS"]
    good = subprocess.run(check, cwd=house, capture_output=True, text=True)
    assert good.returncode == 0, good.stderr
    assert good.stdout.count(": OK") == 3
    (house / "other-1.0-py3-none-any.whl").write_bytes(b"changed")
    assert subprocess.run(check, cwd=house, capture_output=True).returncode != 0


def test_a_wheel_that_the_lock_does_not_know_is_refused(program, house: Path) -> None:
    with pytest.raises(ValueError, match="not in the lock: other"):
        program.complete(house, LOCK)


def test_our_own_wheel_has_to_be_there_once(program, house: Path) -> None:
    lock = lock_of(program, house)
    (house / "dicomnode-1.2.4-py3-none-any.whl").write_bytes(b"newer")
    with pytest.raises(ValueError, match="2 wheels of dicomnode"):
        program.complete(house, lock)


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("unshare") is None, reason="no unshare (util-linux)")
def test_our_own_wheel_installs_without_network(program, tmp_path: Path) -> None:
    """The real wheel into a new environment, in an empty network namespace."""
    house, home = tmp_path / "house", tmp_path / "home"
    made = subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-index",
         "--no-build-isolation", "-w", str(house), str(ROOT)],
        capture_output=True, text=True,
    )  # fmt: skip
    assert made.returncode == 0, made.stderr
    program.complete(house, LOCK)
    (line,) = [
        one
        for one in (house / "requirements.txt").read_text("utf-8").splitlines()
        if one.startswith("dicomnode==")
    ]
    (house / "ours.txt").write_text(f"{line}\n", "utf-8")
    venv.create(home, with_pip=True)
    install = f"""
        set -e
        test "$(tail -n +3 /proc/net/dev | grep -vc lo:)" = 0
        {home}/bin/pip install --quiet --no-index --find-links {house} --no-deps \
          --disable-pip-version-check --require-hashes -r {house}/ours.txt
        {home}/bin/python -c 'import dicomnode.version as v; print(v.VERSION)'
        test -f {home}/lib/python*/site-packages/model/bundles/cxr-qc/model.safetensors
        test -f {home}/lib/python*/site-packages/dicomnode/config.toml
    """
    environ = {key: os.environ[key] for key in ("PATH", "HOME") if key in os.environ}
    run = subprocess.run(
        ["unshare", "--map-root-user", "--net", "sh", "-c", install],
        capture_output=True, text=True, cwd=tmp_path, env=environ,
    )  # fmt: skip
    if "unshare failed" in run.stderr and not os.environ.get("CI"):
        pytest.skip("this machine lets nobody make a network namespace")
    assert run.returncode == 0, run.stderr
    assert run.stdout.strip() == line.partition(" ")[0].removeprefix("dicomnode==")
