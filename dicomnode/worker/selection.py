"""Which images of a study a pipeline analyses, and why not the others. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from dicomnode.domain.findings import BundleInput, NotAnalysed
from dicomnode.domain.instance import Instance
from dicomnode.domain.ownership import is_own_result
from dicomnode.domain.rules import Rule, selects


@dataclass(frozen=True, slots=True)
class Selection:
    """``images`` go to the predictor; ``excluded`` are wanted but not fit, with why."""

    images: tuple[Instance, ...]
    excluded: tuple[NotAnalysed, ...]


def select(
    instances: Iterable[Instance], rule: Rule, accepted: BundleInput
) -> Selection:
    """The instances ``rule`` wants, parted by what the bundle accepts, in order."""
    wanted = sorted(
        (
            one
            for one in instances
            if not is_own_result(one.attributes) and selects(rule, one)
        ),
        key=_order,
    )
    reasons = [(one, why_not(one, accepted)) for one in wanted]
    most = len(wanted) if accepted.series is not None else accepted.max_images
    images = [one for one, reason in reasons if not reason]
    excluded = [
        NotAnalysed(reason, one.sop_instance_uid) for one, reason in reasons if reason
    ]
    surplus = images[most:]
    excluded += [
        NotAnalysed(_surplus(accepted), one.sop_instance_uid) for one in surplus
    ]
    return Selection(tuple(images[:most]), tuple(excluded))


def reason_of(excluded: Iterable[NotAnalysed]) -> str:
    """All reasons, each once; empty without any."""
    return "; ".join(dict.fromkeys(one.reason for one in excluded))


def why_not(instance: Instance, accepted: BundleInput) -> str:
    """Why the bundle does not accept ``instance``; empty if it does."""
    return (
        _why_not_kind(instance, accepted)
        or _why_not_anatomy(instance, accepted)
        or _why_not_size(instance, accepted)
    )


def _why_not_kind(instance: Instance, accepted: BundleInput) -> str:
    modality = text(instance, "Modality")
    if accepted.modalities and modality not in accepted.modalities:
        return f"modality {modality or 'missing'} is not one the model was made for"
    if (
        accepted.sop_class_uids
        and instance.sop_class_uid not in accepted.sop_class_uids
    ):
        return f"SOP class {instance.sop_class_uid} is not one the model was made for"
    if accepted.series is None and number(instance, "NumberOfFrames", 1) > 1:
        return "a multi-frame object is not one the model was made for"
    return ""


def _why_not_anatomy(instance: Instance, accepted: BundleInput) -> str:
    """What the header does not say is left to the bundle's own gate."""
    body_part = text(instance, "BodyPartExamined").upper()
    if accepted.body_parts and body_part and body_part not in accepted.body_parts:
        return f"body part {body_part} is not one the model was made for"
    view = text(instance, "ViewPosition").upper()
    if accepted.views and view and view not in accepted.views:
        return f"view {view} is not one the model was made for"
    return ""


def _why_not_size(instance: Instance, accepted: BundleInput) -> str:
    rows, columns = number(instance, "Rows", 0), number(instance, "Columns", 0)
    if rows < accepted.min_rows or columns < accepted.min_columns:
        return (
            f"{rows} x {columns} pixels are fewer than the model needs "
            f"({accepted.min_rows} x {accepted.min_columns})"
        )
    return ""


def _surplus(accepted: BundleInput) -> str:
    return f"the model takes at most {accepted.max_images} images of a study"


def _order(instance: Instance) -> tuple[int, str, int, str]:
    return (
        number(instance, "SeriesNumber", 0),
        instance.series_instance_uid,
        number(instance, "InstanceNumber", 0),
        instance.sop_instance_uid,
    )


def text(instance: Instance, keyword: str) -> str:
    """The first value of an attribute, empty without one."""
    value = instance.attributes.get(keyword, "")
    return value if isinstance(value, str) else next(iter(value), "")


def number(instance: Instance, keyword: str, default: int) -> int:
    """The first value of an attribute as a whole number."""
    try:
        return int(text(instance, keyword))
    except ValueError:
        return default
