"""Nodes of the kit's own, in temporary folders, with the bundle that is installed."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from dicomnode.acceptance.admission import (
    DESTINATION,
    PACS_AE_TITLE,
    PIPELINE,
)
from dicomnode.acceptance.phantoms import MARK
from dicomnode.config import Config, load
from dicomnode.demo.program import Program, free_port
from dicomnode.demo.stage import environment
from dicomnode.processes.wiring import bundle_shelf

_COMMON = """\
# Written by `dicomnode acceptance`: everything stays on this machine.
[node]
ae_title = {node}
data_dir = {data_dir}

[store]
watermark_percent = {watermark}

[receiver]
host = "127.0.0.1"
port = {port}

[[peer]]
ae_title = {calling}
hosts = ["127.0.0.1"]

[bundles]
public_key = {public_key}

[web]
enabled = false
"""
_CHAIN = """
[study]
quiet_seconds = 1

[keep]
interval_seconds = 0.2

[[pipeline]]
name = "{pipeline}"
bundle = {bundle}
match = {{ InstitutionName = "{mark}", Modality = ["CR", "DX"] }}
results = ["sr", "sc"]
destinations = ["{destination}"]

[[destination]]
name = "{destination}"
ae_title = "{pacs}"
host = "127.0.0.1"
port = {pacs_port}
storage_commitment = "off"

[worker]
device = {device}
poll_seconds = 0.1

[delivery]
poll_seconds = 0.1
timeout_seconds = 10
retry_seconds = [1, 1, 2, 4, 8, 16]
"""
_FULL_PERCENT = 100.0
_NEARLY_NOTHING = 0.000001


def configured(site: Config, folder: Path, calling: str) -> Config:
    """The configuration of a whole node in ``folder``, written and read."""
    bundle = site.pipeline[0].bundle if site.pipeline else "cxr-qc"
    text = _common(site, folder, calling, _FULL_PERCENT) + _CHAIN.format(
        pipeline=PIPELINE,
        bundle=json.dumps(bundle),
        mark=MARK,
        destination=DESTINATION,
        pacs=PACS_AE_TITLE,
        pacs_port=free_port(),
        device=json.dumps(site.worker.device),
    )
    _link_bundles(site, folder)
    return _saved(folder, text)


def nearly_full(site: Config, folder: Path, calling: str) -> Config:
    """That of a receiver whose watermark every disk in use is above."""
    return _saved(folder, _common(site, folder, calling, _NEARLY_NOTHING))


def started(config: Config, role: str, folder: Path) -> Program:
    """A role of the node as a subprocess; a context manager."""
    command = [sys.executable, "-m", "dicomnode", role, "--config", str(config.file)]
    return Program(f"the {role}", command, folder / "node.log", environment())


def _common(site: Config, folder: Path, calling: str, watermark: float) -> str:
    key = site.bundles.public_key
    return _COMMON.format(
        node=json.dumps(site.node.ae_title),
        data_dir=json.dumps(str(folder / "node")),
        watermark=f"{watermark:.6f}",
        port=free_port(),
        calling=json.dumps(calling),
        public_key=json.dumps(str(key) if key else ""),
    )


def _link_bundles(site: Config, folder: Path) -> None:
    """What the site has installed, to be read only."""
    root = bundle_shelf(site).root
    if root.is_dir():
        (folder / "node").mkdir(parents=True)
        (folder / "node" / "bundles").symlink_to(root.resolve())


def _saved(folder: Path, text: str) -> Config:
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "config.toml"
    file.write_text(text, encoding="utf-8")
    return load(file, environ={"CREDENTIALS_DIRECTORY": str(folder / "none")})
