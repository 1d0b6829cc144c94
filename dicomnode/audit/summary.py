"""A line of the trail as a person reads it: when, what, who, about which thing."""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Iterator
from xml.etree.ElementTree import Element, fromstring

_PERSON = "1"


def summary_of(line: bytes) -> str:
    """One line of text without patient identity; ``line`` is one of a Journal."""
    _, _, xml = line.decode("utf-8", "replace").partition("<AuditMessage")
    # Our own encoder wrote it; it declares no entities.
    message = fromstring(f"<AuditMessage{xml}")  # noqa: S314
    event = message.find("EventIdentification")
    if event is None:
        return ""
    parts = [
        event.get("EventDateTime", ""),
        ", ".join(code.get("originalText", "") for code in _codes(event)),
        "" if event.get("EventOutcomeIndicator") == "0" else "FAILED",
        "by " + ", ".join(_who(one) for one in message.iter("ActiveParticipant")),
        *_about(message),
        event.findtext("EventOutcomeDescription") or "",
    ]
    return " | ".join(part for part in parts if part)


def _codes(event: Element) -> Iterator[Element]:
    yield from event.iter("EventID")
    yield from event.iter("EventTypeCode")


def _who(one: Element) -> str:
    name = one.get("UserName") or one.get("UserID") or ""
    address = one.get("NetworkAccessPointID")
    return f"{name} ({address})" if address else name


def _about(message: Element) -> Iterator[str]:
    for one in message.iter("ParticipantObjectIdentification"):
        if one.get("ParticipantObjectTypeCode") == _PERSON:
            continue
        yield one.get("ParticipantObjectID", "")
        for detail in one.iter("ParticipantObjectDetail"):
            yield b64decode(detail.get("value", "")).decode("utf-8", "replace")
