"""What a network said, in the words of the domain. No torch here."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from dicomnode.domain.findings import (
    BundleFacts,
    BundleInput,
    Category,
    Code,
    Finding,
    ImageFindings,
    Observation,
    OperatingPoint,
    Pixels8,
    Presence,
)
from dicomnode.domain.instance import Instance
from dicomnode.domain.series import SeriesInput, Slice
from model import bundle as bundles
from model.bundle import watch

UNDETERMINED = Code("373068000", "SCT", "Undetermined")
"""CID 240: a choice that the network cannot make is said to be none."""


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
            series=_series_input(wanted.series),
        ),
        labels=tuple(label.name for label in description.labels),
        parameters=dict(description.parameters),
    )


def _series_input(spec: bundles.SeriesSpec | None) -> SeriesInput | None:
    if spec is None:
        return None
    return SeriesInput(
        n_slices=spec.n_slices,
        central_fraction=spec.central_fraction,
        stack_depth=spec.stack_depth,
        min_slices=spec.min_slices,
        max_series=spec.max_series,
        planes=spec.planes,
        slice_thickness_mm=spec.slice_thickness_mm,
        kernels=spec.kernels,
        derived=spec.derived,
        max_missing_fraction=spec.max_missing_fraction,
        max_tilt_degrees=spec.max_tilt_degrees,
        has_windows=bool(spec.windows),
        match=spec.match,
        exclude=spec.exclude,
    )


def series_finding(label: bundles.Label, top: Slice, probability: float) -> Finding:
    """What a label says of a series, on the slice that drove it most."""
    point = _point(label)
    return Finding(
        label=label.name,
        code=_code(label.code),
        presence=point.presence(probability),
        text=label.text,
        sop_instance_uid=top.sop_instance_uid,
        site=None if label.site is None else _code(label.site),
        probability=probability,
        calibrated=label.calibrated,
        operating_point=point,
        frame_number=top.frame_number,
    )


def interpret(
    description: bundles.Description,
    instance: Instance,
    eight_bit: Pixels8,
    prediction: bundles.Prediction,
) -> ImageFindings:
    """Probabilities become statements at the stored operating points.

    eight_bit: the image as displayed.
    """
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
        display=eight_bit,
    )


def observation(
    labels: Sequence[bundles.Label],
    prediction: bundles.Prediction | bundles.SeriesPrediction,
    station: str,
) -> Observation:
    """What the drift monitor sees of one image, or of one series."""
    return Observation(
        values=watch.watched(prediction),
        station=station,
        outside=not prediction.in_domain,
        undetermined=prediction.in_domain
        and watch.is_undetermined(labels, prediction.probabilities),
    )


def outside(prediction: bundles.Prediction | bundles.SeriesPrediction) -> str:
    """Why an image or a series outside the model's domain was not analysed."""
    what = "image" if isinstance(prediction, bundles.Prediction) else "series"
    return (
        "outside the model's domain (distance "
        f"{prediction.domain_distance:.1f}, limit {prediction.domain_limit:.1f}); "
        f"the {what} does not look like what the model was made for"
    )


def remarked(
    remark: bundles.Remark, sop_instance_uid: str, frame_number: int | None = None
) -> Finding:
    """A check without a network has no probability, and no map."""
    return Finding(
        label=remark.check.name,
        code=_code(remark.check.code),
        presence=Presence[remark.answer.upper()],
        text=remark.text,
        sop_instance_uid=sop_instance_uid,
        frame_number=frame_number,
    )


def present(remarks: Sequence[bundles.Remark]) -> list[str]:
    """What the checks remark upon, in words."""
    return [one.text for one in remarks if one.answer == "present"]


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
