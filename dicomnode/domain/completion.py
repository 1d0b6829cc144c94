"""When is a study complete? DICOM does not say, so a policy decides."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from dicomnode.domain.study import Study


@dataclass(frozen=True, slots=True)
class CompletionPolicy:
    """A study is complete after ``quiet_seconds`` without a new instance.

    An expected number of series or instances completes it at once when reached.
    """

    quiet_seconds: float
    expected_n_series: int | None = None
    expected_n_instances: int | None = None


def is_complete(study: Study, policy: CompletionPolicy, now: datetime) -> bool:
    """Whether ``study`` may leave RECEIVING at the instant ``now``."""
    return (
        study.forced
        or _reached(study.n_instances, policy.expected_n_instances)
        or _reached(study.n_series, policy.expected_n_series)
        or now - study.last_instance_at >= timedelta(seconds=policy.quiet_seconds)
    )


def due_at(study: Study, policy: CompletionPolicy) -> datetime:
    """When ``study`` will be complete unless another instance comes."""
    return study.last_instance_at + timedelta(seconds=policy.quiet_seconds)


def _reached(count: int, expected: int | None) -> bool:
    return expected is not None and count >= expected
