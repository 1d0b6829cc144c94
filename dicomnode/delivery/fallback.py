"""A report that a destination accepts no context for, as the next lesser object."""

from __future__ import annotations

from pathlib import Path

import structlog
from pydicom.uid import ExplicitVRLittleEndian

from dicomnode.domain.delivery import LESS, Delivery, NewResult, profile_of
from dicomnode.domain.instance import InstanceKey
from dicomnode.errors import ReceiveError, ResultError
from dicomnode.ports import InstanceStore

_log = structlog.get_logger(__name__)


def lesser(delivery: Delivery, path: Path, results: InstanceStore) -> NewResult | None:
    """The report at ``path`` under the next SOP class, kept before it is sent.

    None when there is no next one, or it cannot be made or kept.
    """
    profile = LESS.get(profile_of(delivery.sop_class_uid))
    if profile is None:
        return None
    try:
        return _kept(delivery, path.read_bytes(), profile, results)
    except (ResultError, ReceiveError) as error:
        _log.error("delivery.no_fall_back", job_id=delivery.job_id, error=str(error))
        return None


def _kept(
    delivery: Delivery, part10: bytes, profile: str, results: InstanceStore
) -> NewResult:
    # The builders take a second to import, and most destinations never need them.
    from dicomnode.results.alternates import in_profile  # noqa: PLC0415

    built = in_profile(part10, profile)
    key = InstanceKey(
        study_instance_uid=built.study_instance_uid,
        series_instance_uid=built.series_instance_uid,
        sop_instance_uid=built.sop_instance_uid,
        sop_class_uid=built.sop_class_uid,
        transfer_syntax_uid=str(ExplicitVRLittleEndian),
    )
    stored = results.put(key, built.encoded)
    return NewResult(
        kind=delivery.result_kind,
        sop_class_uid=built.sop_class_uid,
        sop_instance_uid=built.sop_instance_uid,
        series_instance_uid=built.series_instance_uid,
        location=stored.location,
        sha256=stored.sha256,
        destinations=(delivery.destination,),
    )
