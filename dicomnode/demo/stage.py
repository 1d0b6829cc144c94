"""The players of the demonstration: which PACS, and the node as a subprocess."""

from __future__ import annotations

import os
import sys
from contextlib import AbstractContextManager
from pathlib import Path

from dicomnode.demo import settings
from dicomnode.demo.failure import DemoFailed
from dicomnode.demo.minipacs import MiniPacs
from dicomnode.demo.orthanc import Modality, Orthanc
from dicomnode.demo.pacs import Pacs
from dicomnode.demo.program import Program, free_port
from dicomnode.demo.settings import MODALITY, NODE, Place

_CHECKOUT = Path(__file__).resolve().parents[2]


def new_place(folder: Path) -> Place:
    """A home for the node, on ports that are free just now."""
    place = Place(folder, free_port(), free_port())
    place.sent.mkdir()
    return place


def open_pacs(kind: str, place: Place) -> AbstractContextManager[Pacs]:
    """The PACS by its name on the command line; raises DemoFailed for another."""
    if kind == "embedded":
        return MiniPacs(place.folder / "pacs")
    if kind == "orthanc":
        peers = {
            "node": Modality(NODE, place.port),
            # The workstation that asks for the results never gets an association.
            "workstation": Modality(MODALITY, 104),
        }
        return Orthanc(place.folder / "orthanc", peers)
    raise DemoFailed(f"no PACS {kind!r}; use `--pacs embedded` or `--pacs orthanc`")


def open_node(place: Place, pacs: Pacs) -> Program:
    """The real node, every role supervised, under the configuration we write."""
    config = settings.save(place, pacs)
    command = [sys.executable, "-m", "dicomnode", "run", "--config", str(config)]
    log = place.folder / "node.log"
    return Program("the node", command, log, environment())


def invitation(place: Place, pacs: Pacs) -> str:
    """How to use what is left running."""
    config = place.folder / "config.toml"
    return f"""
The node and the PACS stay until Ctrl-C. They listen on this machine only.
  Node  AE title {NODE}, 127.0.0.1 port {place.port}; it admits {MODALITY}
  PACS  AE title {pacs.ae_title}, {pacs.host} port {pacs.port}
  Pages http://127.0.0.1:{place.web_port}/
Point a modality program at it, for example DCMTK's:
  storescu -aet {MODALITY} -aec {NODE} 127.0.0.1 {place.port} image.dcm
and watch:
  dicomnode tail -f --config {config}
To let other machines in, set receiver.host = "0.0.0.0" and add a [[peer]] with the
modality's AE title and address; `dicomnode init` writes a configuration to start from.
"""


def environment() -> dict[str, str]:
    """Ours, without settings of another node, and able to import this checkout."""
    ours = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("DICOMNODE_") and name != "CREDENTIALS_DIRECTORY"
    }
    path = os.environ.get("PYTHONPATH")
    ours["PYTHONPATH"] = os.pathsep.join(filter(None, [str(_CHECKOUT), path]))
    return ours
