"""Writes the software bill of materials (CycloneDX JSON) of the locked requirements.

`make sbom`. The same requirements.txt gives the same bytes: nothing in it depends on
the machine, on what is installed or on the time. Each part has its version, its package
URL and the sha256 of every file that pip may install for it.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from uuid import NAMESPACE_URL, uuid5

from cyclonedx.model import HashAlgorithm, HashType, Property
from cyclonedx.model.bom import Bom, BomMetaData
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.model.license import LicenseExpression
from cyclonedx.output.json import JsonV1Dot6
from packageurl import PackageURL

ROOT = Path(__file__).resolve().parent.parent
_PIN = re.compile(r"([A-Za-z0-9._-]+)(?:\[[^\]]*\])?==([^\s;\\]+)(?:\s*;\s*([^\\]*))?")
_HASH = re.compile(r"--hash=sha256:([0-9a-f]{64})")


@dataclass(frozen=True)
class Locked:
    """One requirement: pinned, hashed, perhaps for some machines only."""

    name: str
    version: str
    marker: str
    hashes: tuple[str, ...]
    wanted_by: tuple[str, ...] = ()


def locked(text: str) -> Iterator[Locked]:
    """The requirements of a hash-locked file; ValueError for a line that is none."""
    joined = re.sub(r"\\\n\s*", " ", text)
    # What follows a requirement, indented and as comments, says who wants it.
    for block in re.split(r"\n(?=[^\s#])", f"\n{joined}"):
        line, _, comments = block.strip().partition("\n")
        if not line or line.startswith("#"):
            continue
        pin, hashes = _PIN.match(line), tuple(sorted(_HASH.findall(line)))
        if pin is None or not hashes:
            message = f"not pinned with hashes: {line[:60]!r}; run `make lock`"
            raise ValueError(message)
        marker = (pin[3] or "").partition("--hash")[0].strip()
        wanted_by = tuple(
            re.findall(r"#\s+(?:via\s+)?(?:-r\s+)?([a-z0-9][\w.-]*)", comments)
        )
        names = tuple(name for name in wanted_by if name != "via")
        yield Locked(pin[1].lower(), pin[2], marker, hashes, names)


def bill(requirements: Path) -> str:
    """The document as JSON text."""
    text = requirements.read_text("utf-8")
    parts, ourselves = list(locked(text)), _ourselves()
    components = {one: _component(one) for one in parts}
    bom = Bom(
        components=components.values(),
        metadata=BomMetaData(component=ourselves),
        serial_number=uuid5(NAMESPACE_URL, text),
    )
    for one in parts:
        for name in one.wanted_by:
            # A part may be there twice, for different versions of Python. What
            # pyproject.toml and requirements.in ask for, we ask for.
            wanting = [made for by, made in components.items() if by.name == name]
            for wants in wanting or [ourselves]:
                bom.register_dependency(wants, [components[one]])
    table = json.loads(JsonV1Dot6(bom).output_as_string())
    del table["metadata"]["timestamp"]  # optional, and the one thing that would change
    return json.dumps(table, indent=2, sort_keys=True) + "\n"


def _ourselves() -> Component:
    said = (ROOT / "dicomnode" / "version.py").read_text("utf-8")
    found = re.search(r'VERSION: Final = "([^"]+)"', said)
    version = found[1] if found else ""
    return Component(
        name="dicomnode",
        version=version,
        type=ComponentType.APPLICATION,
        licenses=[LicenseExpression("Apache-2.0")],
        bom_ref=f"dicomnode@{version}",
    )


def _component(one: Locked) -> Component:
    url = PackageURL("pypi", name=one.name, version=one.version)
    return Component(
        name=one.name,
        version=one.version,
        type=ComponentType.LIBRARY,
        purl=url,
        bom_ref=str(url),
        hashes=[HashType(alg=HashAlgorithm.SHA_256, content=one) for one in one.hashes],
        properties=[Property(name="dicomnode:marker", value=one.marker)]
        if one.marker
        else [],
    )


if __name__ == "__main__":
    target = Path(sys.argv[1] if len(sys.argv) > 1 else "sbom.json")
    target.write_text(bill(ROOT / "requirements.txt"), encoding="utf-8")
    print(f"wrote {target}")
