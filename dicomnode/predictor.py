"""The Predictor port over a bundle: the only importer of torch and ``model``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import torch
from numpy.typing import NDArray
from pydicom import Dataset

from dicomnode.domain.findings import (
    BundleFacts,
    BundleInput,
    Category,
    Code,
    Finding,
    ImageFindings,
    NotAnalysed,
    Observation,
    OperatingPoint,
    Pixels8,
    Presence,
)
from dicomnode.domain.instance import Instance
from dicomnode.errors import ConfigError, PredictionFailed
from model import bundle as bundles
from model import pixels
from model.bundle import watch

Display = NDArray[np.float32]
_STATION_LENGTH = 64

UNDETERMINED = Code("373068000", "SCT", "Undetermined")
"""CID 240: a choice that the network cannot make is said to be none."""


@dataclass(frozen=True, slots=True)
class Decoded:
    """Display pixels of an image, the machine that made it, and what the checks
    without a network say of it.
    """

    display: Display
    station: str
    remarks: tuple[bundles.Remark, ...] = ()


class BundlePredictor:
    """A bundle, loaded and warm, behind the Predictor port.

    ``public_key`` is the key whose signature bundle and addendum must have;
    ``addendum`` what this site re-set. Raises ConfigError when the bundle is missing,
    tampered with or does not load.
    """

    def __init__(
        self,
        folder: Path,
        device: str = "cpu",
        *,
        public_key: Path | None = None,
        addendum: Path | None = None,
    ) -> None:
        try:
            self._bundle = bundles.load(
                folder, device, public_key=public_key, addendum=addendum
            )
        except (bundles.BundleError, OSError) as error:
            raise ConfigError(f"bundle {folder.name}: {error}") from error

    @property
    def reference(self) -> tuple[Mapping[str, Any], str] | None:
        """Drift reference, and the digest of what it was made with; None without."""
        said = self._bundle.description
        if not said.reference:
            return None
        return said.reference, f"{said.digest} {said.parameters['commissioned']}"

    def describe(self) -> BundleFacts:
        """What a report must say about the bundle."""
        return facts_of(self._bundle.description)

    def predict(
        self, images: Sequence[tuple[Instance, BinaryIO]]
    ) -> Sequence[ImageFindings | NotAnalysed]:
        """One answer for each image, in order; raises PredictionFailed."""
        checks = self._bundle.description.quality
        decoded = [_decode(instance, file, checks) for instance, file in images]
        found = [one for one in decoded if isinstance(one, Decoded)]
        predictions = iter(self._forward([one.display for one in found]))
        return [
            one
            if isinstance(one, NotAnalysed)
            else self._answer(instance, one, next(predictions))
            for (instance, _), one in zip(images, decoded, strict=True)
        ]

    def _forward(self, displays: Sequence[Display]) -> Sequence[bundles.Prediction]:
        if not displays:
            return ()
        try:
            return self._bundle.predict(displays)
        except (bundles.BundleError, RuntimeError) as error:
            message = f"the network failed ({error}); see the worker's log, then retry"
            raise PredictionFailed(message) from error

    def _answer(
        self, instance: Instance, decoded: Decoded, prediction: bundles.Prediction
    ) -> ImageFindings | NotAnalysed:
        description = self._bundle.description
        seen = observation(description.labels, prediction, decoded.station)
        if not prediction.in_domain:
            why = "; ".join([_outside(prediction), *_present(decoded.remarks)])
            return NotAnalysed(why, instance.sop_instance_uid, seen)
        said = interpret(description, instance, decoded.display, prediction)
        remarked = tuple(_remarked(one, instance) for one in decoded.remarks)
        return replace(said, findings=said.findings + remarked, observation=seen)


def choose_device(wanted: str) -> str:
    """``auto`` is the first GPU that works, else the CPU; raises ConfigError."""
    available = torch.cuda.is_available()
    if wanted == "auto":
        return "cuda" if available else "cpu"
    if wanted.startswith("cuda") and not available:
        message = f"worker.device is {wanted}, but torch finds no usable GPU"
        raise ConfigError(f'{message}; check the driver, or set device = "cpu"')
    return wanted


def limit_threads(threads: int) -> None:
    """Use at most ``threads`` CPU threads for inference; 0 leaves it to torch."""
    if threads:
        torch.set_num_threads(threads)


def facts_of(description: bundles.Description) -> BundleFacts:
    """A bundle's description in the words of the domain."""
    wanted = description.input
    return BundleFacts(
        name=description.name,
        version=description.version,
        digest=description.digest,
        device_uid=description.device_uid,
        manufacturer=description.manufacturer,
        intended_use=description.intended_use,
        algorithm_family=description.algorithm_family,
        input=BundleInput(
            modalities=tuple(wanted.modalities),
            sop_class_uids=tuple(wanted.sop_class_uids),
            body_parts=tuple(part.upper() for part in wanted.body_parts),
            min_rows=wanted.min_rows,
            min_columns=wanted.min_columns,
            max_images=wanted.max_images,
            views=tuple(view.upper() for view in wanted.views),
        ),
        labels=tuple(label.name for label in description.labels),
        parameters=dict(description.parameters),
    )


def interpret(
    description: bundles.Description,
    instance: Instance,
    display: Display,
    prediction: bundles.Prediction,
) -> ImageFindings:
    """Probabilities become statements at the stored operating points."""
    choices = _choices(description.labels, prediction.probabilities)
    findings = [
        _finding(label, instance, prediction)
        for label in description.labels
        if label.kind == "finding"
    ]
    findings += [
        finding
        for check in description.header_checks
        if (finding := _header_finding(check, choices, instance, prediction))
    ]
    return ImageFindings(
        sop_instance_uid=instance.sop_instance_uid,
        findings=tuple(findings),
        categories=tuple(
            _category(label, instance, prediction) for label in choices.values()
        ),
        display=_to_8_bit(display),
    )


def observation(
    labels: Sequence[bundles.Label], prediction: bundles.Prediction, station: str
) -> Observation:
    """What the drift monitor sees of one image."""
    return Observation(
        values=watch.watched(prediction),
        station=station,
        outside=not prediction.in_domain,
        undetermined=prediction.in_domain
        and watch.is_undetermined(labels, prediction.probabilities),
    )


def _decode(
    instance: Instance, file: BinaryIO, checks: Sequence[bundles.QualityCheck] = ()
) -> Decoded | NotAnalysed:
    try:
        ds = pixels.read(file)
        display = pixels.display_pixels(ds)
        remarks = bundles.remarks(checks, display, bundles.headers_of(checks, ds))
        return Decoded(display, _station(ds), remarks)
    except pixels.UnsupportedPixels as error:
        return NotAnalysed(str(error), instance.sop_instance_uid)


def _station(ds: Dataset) -> str:
    """Manufacturer and Station Name: which machine, never who."""
    words = (str(ds.get(name) or "") for name in ("Manufacturer", "StationName"))
    return " ".join(" ".join(words).split())[:_STATION_LENGTH]


def _outside(prediction: bundles.Prediction) -> str:
    return (
        "outside the model's domain (distance "
        f"{prediction.domain_distance:.1f}, limit {prediction.domain_limit:.1f}); "
        "the image does not look like what the model was made for"
    )


def _choices(
    labels: Iterable[bundles.Label], probabilities: Mapping[str, float]
) -> dict[str, bundles.Label]:
    """Head -> its most probable label, for the heads that choose one class."""
    best: dict[str, bundles.Label] = {}
    for label in labels:
        if label.kind != "category":
            continue
        rival = best.get(label.head)
        if rival is None or probabilities[label.name] > probabilities[rival.name]:
            best[label.head] = label
    return best


def _finding(
    label: bundles.Label, instance: Instance, prediction: bundles.Prediction
) -> Finding:
    probability = prediction.probabilities[label.name]
    point = _point(label)
    return Finding(
        label=label.name,
        code=_code(label.code),
        presence=point.presence(probability),
        text=label.text,
        sop_instance_uid=instance.sop_instance_uid,
        site=None if label.site is None else _code(label.site),
        probability=probability,
        calibrated=label.calibrated,
        operating_point=point,
        activation_map=prediction.activation_maps.get(label.name),
    )


def _remarked(remark: bundles.Remark, instance: Instance) -> Finding:
    """A check without a network has no probability, and no map."""
    return Finding(
        label=remark.check.name,
        code=_code(remark.check.code),
        presence=Presence[remark.answer.upper()],
        text=remark.text,
        sop_instance_uid=instance.sop_instance_uid,
    )


def _present(remarks: Sequence[bundles.Remark]) -> list[str]:
    return [one.text for one in remarks if one.answer == "present"]


def _header_finding(
    check: bundles.HeaderCheck,
    choices: Mapping[str, bundles.Label],
    instance: Instance,
    prediction: bundles.Prediction,
) -> Finding | None:
    header = instance.attributes.get(check.keyword, "")
    claimed = check.values.get(str(header).strip().upper())
    seen = choices.get(check.head)
    if claimed is None or seen is None:
        return None
    sure = _point(seen).presence(prediction.probabilities[seen.name])
    return Finding(
        label=f"{check.head}-differs-from-header",
        code=_code(check.code),
        presence=_mismatch(seen.name == claimed, sure),
        text=check.text.format(seen=seen.text, header=header),
        sop_instance_uid=instance.sop_instance_uid,
        activation_map=prediction.activation_maps.get(seen.name),
    )


def _mismatch(agrees: bool, sure: Presence) -> Presence:
    if agrees:
        return Presence.ABSENT
    return Presence.PRESENT if sure is Presence.PRESENT else Presence.UNDETERMINED


def _category(
    label: bundles.Label, instance: Instance, prediction: bundles.Prediction
) -> Category:
    probability = prediction.probabilities[label.name]
    is_sure = _point(label).presence(probability) is Presence.PRESENT
    return Category(
        label=label.name if is_sure else f"{label.head}-undetermined",
        concept=_code(label.code),
        value=_code(label.value_code or label.code) if is_sure else UNDETERMINED,
        sop_instance_uid=instance.sop_instance_uid,
        probability=probability if is_sure else None,
        calibrated=label.calibrated,
    )


def _point(label: bundles.Label) -> OperatingPoint:
    return OperatingPoint(label.operating_point, label.grey_low, label.grey_high)


def _code(entry: bundles.CodeEntry) -> Code:
    return Code(entry.value, entry.scheme, entry.meaning)


def _to_8_bit(display: Display) -> Pixels8:
    scaled: Pixels8 = np.rint(np.clip(display, 0.0, 1.0) * 255.0).astype(np.uint8)
    return scaled
