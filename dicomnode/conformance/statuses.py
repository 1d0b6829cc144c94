"""DIMSE statuses: what we answer, and what we make of an answer."""

from __future__ import annotations

from collections.abc import Iterator

from dicomnode.config import Config
from dicomnode.conformance.markdown import hexadecimal, table
from dicomnode.delivery import statuses as answered
from dicomnode.domain.commitment import FailureReason
from dicomnode.receiver.statuses import MEANINGS

_RANGES = {
    answered.WARNINGS[3]: "B000H to BFFFH",
    answered.OUT_OF_RESOURCES.start: "A700H to A7FFH",
    answered.DOES_NOT_MATCH.start: "A900H to A9FFH",
    answered.CANNOT_UNDERSTAND.start: "C000H to CFFFH",
}


def given(config: Config) -> str:
    """The statuses that RECEIVE answers with."""
    del config
    columns = ("Status", "Service", "Meaning", "Durability", "The peer should")
    return table(columns, _given())


def _given() -> Iterator[tuple[str, ...]]:
    for status, meaning in MEANINGS.items():
        services = ", ".join(meaning.services)
        yield (
            hexadecimal(status),
            services,
            meaning.words,
            meaning.kept,
            meaning.peer,
        )


def taken(config: Config) -> str:
    """What DELIVER makes of the status of a C-STORE of its own."""
    steps = ", ".join(f"{one:g}" for one in config.delivery.retry_seconds)
    again = f"sent again after {steps} s, then FAILED (delivery.retry_seconds)"
    columns = ("Status", "Shown as", "Delivery becomes")
    return table(columns, _taken(again))


def _taken(again: str) -> Iterator[tuple[str, ...]]:
    for status in sorted(answered.KNOWN):
        name = _RANGES.get(status, hexadecimal(status))
        if answered.is_accepted(status):
            words = (
                "success" if status == answered.SUCCESS else "warning, taken as success"
            )
            yield name, words, "SENT"
        else:
            becomes = again if answered.is_retryable(status) else "REJECTED"
            yield name, answered.explain(status), becomes
    yield "no answer", "no answer; the association ended or timed out", again


def commitment(config: Config) -> str:
    """Failure Reason (0008,1197), as we give and read it."""
    del config
    ours = {
        FailureReason.PROCESSING_FAILURE: "the file cannot be read now",
        FailureReason.NO_SUCH_INSTANCE: "no row, or its file is gone",
        FailureReason.CLASS_INSTANCE_CONFLICT: "we have it under another SOP Class",
    }
    rows = (
        (
            hexadecimal(reason),
            reason.name.replace("_", " ").lower(),
            ours.get(reason, "never given"),
            answered.explain_failure(reason).partition("; ")[0],
        )
        for reason in FailureReason
    )
    columns = ("Failure Reason", "Name", "Given by RECEIVE when", "Shown by DELIVER as")
    return table(columns, rows)
