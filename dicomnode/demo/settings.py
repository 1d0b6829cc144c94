"""The configuration of the demonstration's node, as the file an admin would write."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from dicomnode.demo.pacs import Pacs

MODALITY = "DEMO_XR"
NODE = "DICOMNODE"
PIPELINE = "cxr-qc"


@dataclass(frozen=True, slots=True)
class Place:
    """Where the node of the demonstration lives."""

    folder: Path
    port: int
    web_port: int

    @property
    def data_dir(self) -> Path:
        """Instances, results and the worklist."""
        return self.folder / "node"

    @property
    def worklist(self) -> Path:
        """The embedded database."""
        return self.data_dir / "worklist.db"

    @property
    def worklist_url(self) -> str:
        """The same, as SQLAlchemy names it."""
        return f"sqlite:///{self.worklist}"

    @property
    def sent(self) -> Path:
        """The files that the modality sends."""
        return self.folder / "sent"


def save(place: Place, pacs: Pacs) -> Path:
    """Write ``config.toml`` into the place's folder."""
    path = place.folder / "config.toml"
    path.write_text(_TEMPLATE.format(**_values(place, pacs)), encoding="utf-8")
    return path


def lines_to_copy(pacs: Pacs) -> str:
    """The lines that admit a modality, and that name the PACS of the results."""
    return f"""\
[[peer]]                      # the modality: its AE title and its address
ae_title = "CT1"
hosts = ["192.0.2.10"]

[[pipeline]]                  # which studies, and where the results go
name = "{PIPELINE}"
bundle = "cxr-qc"
match = {{ Modality = ["CR", "DX"] }}
results = ["sr", "sc"]
destinations = ["PACS"]

[[destination]]               # here {pacs.ae_title} of the demonstration
name = "PACS"
ae_title = "{pacs.ae_title}"
host = "{pacs.host}"
port = {pacs.port}
"""


def _values(place: Place, pacs: Pacs) -> dict[str, object]:
    # A JSON string is a TOML basic string too.
    return {
        "node": json.dumps(NODE),
        "data_dir": json.dumps(str(place.data_dir)),
        "port": place.port,
        "modality": json.dumps(MODALITY),
        "pipeline": json.dumps(PIPELINE),
        "pacs_ae_title": json.dumps(pacs.ae_title),
        "pacs_host": json.dumps(pacs.host),
        "pacs_port": pacs.port,
        "web_port": place.web_port,
    }


_TEMPLATE = """\
# Written by `dicomnode demo`: everything stays on this machine.

[node]
ae_title = {node}
data_dir = {data_dir}

[receiver]
host = "127.0.0.1"
port = {port}

[[peer]]
ae_title = {modality}
hosts = ["127.0.0.1"]

[study]
quiet_seconds = 1

[keep]
interval_seconds = 0.2

[[pipeline]]
name = {pipeline}
bundle = "cxr-qc"
match = {{ Modality = ["CR", "DX"] }}
results = ["sr", "sc"]
destinations = ["PACS"]

[[destination]]
name = "PACS"
ae_title = {pacs_ae_title}
host = {pacs_host}
port = {pacs_port}

[worker]
device = "cpu"
poll_seconds = 0.1

[delivery]
poll_seconds = 0.1
retry_seconds = [1, 2, 4]

[web]
port = {web_port}

[telemetry]
log_format = "json"
"""
