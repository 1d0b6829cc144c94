"""What a C-STORE status of a destination means for us (PS3.4 Table B.2-1, PS3.7 C)."""

from __future__ import annotations

from dicomnode.domain.commitment import FailureReason

SUCCESS = 0x0000
OUT_OF_RESOURCES = range(0xA700, 0xA800)
DOES_NOT_MATCH = range(0xA900, 0xAA00)
CANNOT_UNDERSTAND = range(0xC000, 0xD000)
WARNINGS = (0x0001, 0x0107, 0x0116, *range(0xB000, 0xC000))

_PERMANENT = {
    0x0106: "invalid attribute value",
    0x0111: "duplicate SOP instance",
    0x0112: "no such SOP instance",
    0x0117: "invalid SOP instance",
    0x0118: "no such SOP class",
    0x0122: "SOP class not supported",
    0x0211: "unrecognised operation",
}
_TEMPORARY = {
    0x0110: "processing failure",
    0x0124: "not authorised",
    0x0213: "resource limitation",
}

KNOWN = (
    SUCCESS,
    *WARNINGS[:3],
    WARNINGS[3],
    *_PERMANENT,
    *_TEMPORARY,
    OUT_OF_RESOURCES.start,
    DOES_NOT_MATCH.start,
    CANNOT_UNDERSTAND.start,
)
"""One status of each kind that we tell apart."""

_REASONS = {
    FailureReason.PROCESSING_FAILURE: "it failed to process the request",
    FailureReason.NO_SUCH_INSTANCE: "it does not have the result",
    FailureReason.CLASS_INSTANCE_CONFLICT: "it has it under another SOP class",
    FailureReason.SOP_CLASS_NOT_SUPPORTED: "it makes no promise for this SOP class",
    FailureReason.DUPLICATE_TRANSACTION: "it takes our request for another one",
    FailureReason.RESOURCE_LIMITATION: "it has no room",
}


def is_accepted(status: int) -> bool:
    """Success or a warning: the destination has the instance."""
    return status == 0x0000 or status in WARNINGS


def is_retryable(status: int | None) -> bool:
    """Whether the same object may succeed later; no answer at all (None) may."""
    if status is None:
        return True
    refused = status in DOES_NOT_MATCH or status in CANNOT_UNDERSTAND
    return not refused and status not in _PERMANENT


def explain(status: int) -> str:
    """A failure status in words, ending with what to do."""
    if status in OUT_OF_RESOURCES:
        return f"0x{status:04X} out of resources; free space at the destination"
    if status in DOES_NOT_MATCH:
        return (
            f"0x{status:04X} data set does not match SOP class; "
            f"ask the destination's log which attribute it refuses"
        )
    if status in CANNOT_UNDERSTAND:
        return f"0x{status:04X} cannot understand; read the destination's log"
    words = _PERMANENT.get(status) or _TEMPORARY.get(status) or "failure"
    return f"0x{status:04X} {words}; read the destination's log, then `dicomnode retry`"


def explain_failure(reason: int) -> str:
    """Why storage commitment failed (PS3.3 C.14.1.1), ending with what to do."""
    words = _REASONS.get(reason, "for a reason of its own")  # type: ignore[call-overload]  # any int may come
    return (
        f"0x{reason:04X} the destination does not commit to keep it: {words}; "
        "read its log, then `dicomnode retry`"
    )
