"""What a site found out about a bundle with its own studies, beside the bundle.

The bundle never changes. The addendum names the digest of the one bundle it is for,
and re-sets calibration and operating points of the heads that the site has labels for,
and adds the site's own images to the domain. No torch.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from model.bundle import signing
from model.bundle.errors import BundleError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from model.bundle.description import Description, Label

SCHEMA_VERSION = 1
_MOST_BYTES = 4 * 1024**2
_HINT = "commission the bundle again"


@dataclass(frozen=True)
class SiteHead:
    """Calibration of one head: activation(logits / temperature + bias)."""

    temperature: float
    bias: tuple[float, ...]


@dataclass(frozen=True)
class SitePoint:
    """Operating point and grey zone of one label, as in the bundle."""

    operating_point: float
    grey_low: float
    grey_high: float


@dataclass(frozen=True)
class Addendum:
    """digest: sha256 of the file. bundle_digest: the bundle it is for.

    n_images: of series for a series bundle, as `unit` says.
    domain_mean: whitened mean of the site's images; domain_limit: distance to it
    beyond which an image is refused. reference: drift reference of the site. figures:
    local figures, for people.
    """

    digest: str
    bundle_digest: str
    site: str
    n_images: int
    n_patients: int
    heads: Mapping[str, SiteHead]
    points: Mapping[str, SitePoint]
    domain_mean: tuple[float, ...]
    domain_limit: float
    reference: Mapping[str, Any]
    figures: tuple[Mapping[str, Any], ...]
    unit: str = "images"

    def applied_to(self, description: Description) -> Description:
        """The description with this site's operating points, and saying so."""
        labels = tuple(self._label(label) for label in description.labels)
        parameters = {
            **description.parameters,
            "operating points": self._points_text(labels),
            "commissioned": f"site operating points from {self.n_images}"
            f" {self.unit} of {self.n_patients} patients, addendum {self.digest[:12]}",
            "domain limit": f"{description.parameters.get('domain limit', '')} at home,"
            f" {self.domain_limit:.3f} at the site",
        }
        return replace(
            description,
            labels=labels,
            calibrated=all(label.calibrated for label in labels),
            parameters=MappingProxyType(parameters),
            reference=self.reference or description.reference,
        )

    def _label(self, label: Label) -> Label:
        point = self.points.get(label.name)
        if point is None:
            return label
        return replace(label, **vars(point), calibrated=False)

    def _points_text(self, labels: tuple[Label, ...]) -> str:
        site = [points_text(one) for one in labels if one.name in self.points]
        home = [points_text(one) for one in labels if one.name not in self.points]
        parts = [("site", site), ("home", home)]
        return "; ".join(f"{name}: {'; '.join(said)}" for name, said in parts if said)


def points_text(label: Label) -> str:
    """Operating point of a label as a report prints it."""
    return (
        f"{label.name} {label.operating_point:g}"
        f" ({label.grey_low:g} to {label.grey_high:g} undetermined)"
    )


def write(path: Path, table: dict[str, Any], key: Path | None) -> None:
    """Write an addendum, signed when there is a key; an older one is replaced whole."""
    full = {**table, "schema_version": SCHEMA_VERSION}
    if key is not None:
        full["signature"] = signing.sign_table(dict(full), key)
    text = json.dumps(full, indent=1, sort_keys=True, ensure_ascii=False) + "\n"
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    with part.open("wb") as file:
        file.write(text.encode())
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)


def read(
    path: Path, description: Description, public_key: Path | None = None
) -> Addendum:
    """Read the addendum of this bundle; BundleError when it is not one.

    Refused: one for another bundle, one whose labels or heads the bundle lacks, and,
    when a public key is given, one without its signature.
    """
    raw = path.read_bytes() if path.stat().st_size <= _MOST_BYTES else b""
    try:
        table = json.loads(raw)
        signature = table.pop("signature", "")
        found = parse(table, hashlib.sha256(raw).hexdigest())
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise BundleError(
            f"{path.name} is not understood ({type(error).__name__}: {error}): {_HINT}"
        ) from error
    if public_key is not None:
        signing.check_table(table, signature, public_key)
    _check_fits(found, description, path.name)
    return found


def _check_fits(found: Addendum, description: Description, name: str) -> None:
    if found.bundle_digest != description.digest:
        raise BundleError(
            f"{name} is for the bundle {found.bundle_digest[:12]}, not for"
            f" {description.digest[:12]}: {_HINT}, or remove the addendum"
        )
    heads = {label.head for label in description.labels}
    labels = {label.name for label in description.labels}
    if set(found.heads) - heads or set(found.points) - labels:
        raise BundleError(f"{name} names labels that the bundle lacks: {_HINT}")


def parse(table: dict[str, Any], digest: str) -> Addendum:
    """The addendum that a table is; KeyError, TypeError or ValueError if it is none."""
    if table["schema_version"] != SCHEMA_VERSION:
        raise ValueError(f"schema version {table['schema_version']}")
    heads = {
        str(name): SiteHead(float(one["temperature"]), tuple(map(float, one["bias"])))
        for name, one in table["heads"].items()
    }
    points = {str(name): _point(one) for name, one in table["points"].items()}
    numbers = [
        value for one in heads.values() for value in (one.temperature, *one.bias)
    ]
    mean = tuple(map(float, table["domain"]["mean"]))
    limit = float(table["domain"]["limit"])
    if not all(map(math.isfinite, (*numbers, *mean, limit))):
        raise ValueError("a number is not finite")
    if any(one.temperature <= 0 for one in heads.values()):
        raise ValueError("a temperature is not positive")
    return Addendum(
        digest=digest,
        bundle_digest=str(table["bundle"]["digest"]),
        site=str(table["site"]),
        n_images=int(table["n_images"]),
        n_patients=int(table["n_patients"]),
        heads=MappingProxyType(heads),
        points=MappingProxyType(points),
        domain_mean=mean,
        domain_limit=limit,
        reference=MappingProxyType(dict(table["reference"])),
        figures=tuple(table["figures"]),
        unit="series" if table.get("unit") == "series" else "images",
    )


def _point(item: Mapping[str, Any]) -> SitePoint:
    point = SitePoint(
        float(item["operating_point"]),
        float(item["grey_low"]),
        float(item["grey_high"]),
    )
    if not 0 <= point.grey_low <= point.operating_point <= point.grey_high <= 1:
        raise ValueError("an operating point lies outside its grey zone")
    return point
