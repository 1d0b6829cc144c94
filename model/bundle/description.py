"""What a bundle says of itself: plain frozen data, read without torch."""

from __future__ import annotations

import hashlib
import json
import uuid
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal

from model.bundle import integrity, signing
from model.bundle.coding import CodeEntry, coded
from model.bundle.errors import BundleError
from model.bundle.quality import QualityCheck, parse_check
from model.bundle.series import SeriesSpec, parse_series

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

SCHEMA_VERSION = 1
BUNDLE_FILE = "bundle.json"
WEIGHTS_FILE = "model.safetensors"


@dataclass(frozen=True)
class Label:
    """One class of one head, and how its probability becomes a statement.

    index: position in the head. kind: "finding" is present or absent; "category" is
    one value of a concept (code), given by value_code. text: for people. A probability
    in [grey_low, grey_high) is undetermined.
    """

    name: str
    head: str
    index: int
    kind: Literal["finding", "category"]
    code: CodeEntry
    value_code: CodeEntry | None
    site: CodeEntry | None
    text: str
    operating_point: float
    grey_low: float
    grey_high: float
    calibrated: bool


@dataclass(frozen=True)
class HeaderCheck:
    """A header value that a head can contradict.

    values: header value -> label name. text: template with {seen} and {header}.
    """

    head: str
    keyword: str
    values: Mapping[str, str]
    code: CodeEntry
    text: str


@dataclass(frozen=True)
class InputSpec:
    """Which instances the model is made for.

    body_parts: accepted values of Body Part Examined; an empty string among them
    accepts an absent one. views: accepted values of View Position; none named accepts
    all, and an absent one is always accepted. max_images: per study. series: what a
    bundle that is made for whole series wants; None for single images.
    """

    modalities: tuple[str, ...]
    sop_class_uids: tuple[str, ...]
    body_parts: tuple[str, ...]
    min_rows: int
    min_columns: int
    max_images: int
    views: tuple[str, ...] = ()
    series: SeriesSpec | None = None

    @property
    def accepts_absent_body_part(self) -> bool:
        """Whether an instance without Body Part Examined is accepted."""
        return "" in self.body_parts


@dataclass(frozen=True)
class Description:
    """A bundle, verified, in words.

    digest: sha256 of MANIFEST.json. device_uid: UID derived from the digest, for the
    observer of a report. parameters: what a report should print. reference: home
    distributions for `model.monitor`, None in a bundle that was packed without.
    quality: checks that need no network.
    """

    name: str
    version: str
    digest: str
    device_uid: str
    manufacturer: str
    task: str
    intended_use: str
    calibrated: bool
    labels: tuple[Label, ...]
    input: InputSpec
    header_checks: tuple[HeaderCheck, ...]
    algorithm_family: str
    parameters: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    reference: Mapping[str, Any] | None = None
    quality: tuple[QualityCheck, ...] = ()


def describe(folder: Path, public_key: Path | None = None) -> Description:
    """Verify every file and read the description; no torch.

    public_key: an Ed25519 key in PEM whose signature the manifest must have. Raises
    BundleError when a file is missing, changed, unlisted, a link or of a forbidden
    kind, when the signature is not the key's, or when the description is not one we
    understand.
    """
    return read_bundle(folder, public_key)[0]


def read_bundle(
    folder: Path, public_key: Path | None = None
) -> tuple[Description, dict[str, Any]]:
    """As `describe`, with the whole of bundle.json."""
    digest, table = read_table(folder, public_key)
    try:
        return _description(table, digest), table
    except (KeyError, TypeError, ValueError) as error:
        raise BundleError(
            f"{BUNDLE_FILE} is not understood ({type(error).__name__}: {error}):"
            " pack the bundle again with this version"
        ) from error


def read_table(
    folder: Path, public_key: Path | None = None
) -> tuple[str, dict[str, Any]]:
    """Verify; then the manifest's sha256 and the parsed bundle.json."""
    manifest = integrity.check(folder)
    if public_key is not None:
        signing.check_bundle(folder, manifest, public_key)
    digest = hashlib.sha256(manifest).hexdigest()
    try:
        table: Any = json.loads((folder / BUNDLE_FILE).read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise BundleError(
            f"{BUNDLE_FILE} cannot be read: install the bundle again"
        ) from error
    if not isinstance(table, dict) or table.get("schema_version") != SCHEMA_VERSION:
        raise BundleError(
            f"{BUNDLE_FILE} is not of schema version {SCHEMA_VERSION}: update this"
            " program or pack the bundle again"
        )
    if WEIGHTS_FILE not in integrity.files(folder):
        raise BundleError(f"{WEIGHTS_FILE} is missing: install the bundle again")
    return digest, table


def device_uid(digest: str) -> str:
    """A UID for the device observer, from the digest (PS3.5 B.2, a UUID as 2.25)."""
    return f"2.25.{uuid.UUID(bytes=bytes.fromhex(digest)[:16], version=5).int}"


def _description(table: dict[str, Any], digest: str) -> Description:
    labels = tuple(_label(item) for item in table["labels"])
    names = {label.name for label in labels}
    checks = tuple(_check(item) for item in table["header_checks"])
    if len(names) != len(labels):
        raise ValueError("a label name occurs twice")
    if any(set(check.values.values()) - names for check in checks):
        raise ValueError("a header check names an unknown label")
    wanted = _input(table["input"])
    if wanted.series is not None and any(one.kind != "finding" for one in labels):
        raise ValueError("a series bundle has findings only: make its labels so")
    if wanted.series is not None and checks:
        raise ValueError(
            "header_checks are for heads that choose one class, which a series bundle"
            " has not: use quality with a keyword instead"
        )
    return Description(
        name=str(table["name"]),
        version=str(table["version"]),
        digest=digest,
        device_uid=device_uid(digest),
        manufacturer=str(table["manufacturer"]),
        task=str(table["task"]),
        intended_use=str(table["intended_use"]),
        calibrated=all(label.calibrated for label in labels),
        labels=labels,
        input=wanted,
        header_checks=checks,
        algorithm_family=str(table["algorithm_family"]),
        parameters=MappingProxyType(_parameters(table["parameters"])),
        reference=table.get("reference"),
        quality=tuple(parse_check(item) for item in table.get("quality", ())),
    )


def _parameters(stored: dict[str, Any]) -> dict[str, str]:
    said = {str(key): str(value) for key, value in stored.items()}
    return {**said, "commissioned": "no, home operating points"}


def _label(item: dict[str, Any]) -> Label:
    low, high = float(item["grey_low"]), float(item["grey_high"])
    point = float(item["operating_point"])
    if not 0 <= low <= point <= high <= 1:
        raise ValueError(f"label {item['name']}: operating point outside its grey zone")
    if item["kind"] not in ("finding", "category"):
        raise ValueError(f"label {item['name']}: kind {item['kind']!r}")
    return Label(
        name=str(item["name"]),
        head=str(item["head"]),
        index=int(item["index"]),
        kind=item["kind"],
        code=coded(item["code"]),
        value_code=_maybe_code(item.get("value_code")),
        site=_maybe_code(item.get("site")),
        text=str(item["text"]),
        operating_point=point,
        grey_low=low,
        grey_high=high,
        calibrated=bool(item["calibrated"]),
    )


def _check(item: dict[str, Any]) -> HeaderCheck:
    values = {str(key): str(value) for key, value in item["values"].items()}
    return HeaderCheck(
        head=str(item["head"]),
        keyword=str(item["keyword"]),
        values=MappingProxyType(values),
        code=coded(item["code"]),
        text=str(item["text"]),
    )


def _input(item: dict[str, Any]) -> InputSpec:
    return InputSpec(
        modalities=tuple(item["modalities"]),
        sop_class_uids=tuple(item["sop_class_uids"]),
        body_parts=tuple(item["body_parts"]),
        min_rows=int(item["min_rows"]),
        min_columns=int(item["min_columns"]),
        max_images=int(item["max_images"]),
        views=tuple(item.get("views", ())),
        series=parse_series(item),
    )


def _maybe_code(item: dict[str, Any] | None) -> CodeEntry | None:
    return None if item is None else coded(item)
