"""Asks whether a locked requirement has a known vulnerability; `make vulnerabilities`.

1 when there is one. Without a network nothing is known: it says "not checked: offline"
and ends with 0, so that an offline site can run it too.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SECONDS = 300
_OFFLINE = (
    "could not connect",
    "connectionerror",
    "failed to establish",
    "max retries",
    "name or service not known",
    "name resolution",
    "network is unreachable",
    "proxyerror",
    "sslerror",
    "timed out",
)


def verdict(returncode: int, stdout: str, stderr: str) -> tuple[int, str]:
    """Exit code and what to print, from how pip-audit ended."""
    try:
        asked = json.loads(stdout)["dependencies"]
    except (ValueError, KeyError, TypeError):
        said = (stderr.strip().splitlines() or ["pip-audit said nothing"])[-1]
        if any(word in stderr.lower() for word in _OFFLINE):
            return 0, f"not checked: offline ({said})"
        return returncode or 1, f"not checked: {said}"
    found = [
        f"{one['name']} {one['version']}: {bad['id']}, fixed in "
        f"{', '.join(bad['fix_versions']) or 'no version yet'}"
        for one in asked
        for bad in one.get("vulns", ())
    ]
    if found:
        remedy = "raise the floor in pyproject.toml and run `make lock`"
        return 1, "\n".join([*found, f"{len(found)} known vulnerabilities; {remedy}"])
    return 0, f"no known vulnerability in {len(asked)} locked requirements"


def main() -> int:
    """Run pip-audit on requirements.txt, which it reads and does not install."""
    words = ["-r", str(ROOT / "requirements.txt"), "--disable-pip", "--require-hashes"]
    argv = [sys.executable, "-m", "pip_audit", *words, "--format", "json"]
    try:
        ended = subprocess.run(  # noqa: S603  # our own interpreter
            [*argv, "--progress-spinner", "off"],
            capture_output=True,
            text=True,
            check=False,
            timeout=SECONDS,
        )
    except subprocess.TimeoutExpired:
        print("not checked: offline (no answer in time)")
        return 0
    code, said = verdict(ended.returncode, ended.stdout, ended.stderr)
    print(said)
    return code


if __name__ == "__main__":
    sys.exit(main())
