"""A digest as a mail and as JSON. Job numbers and short hashes, never a patient."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from dicomnode.health.alarms import Alarm, title_of
from dicomnode.health.digest import Digest

NOTICE = (
    "Research use only. Not a medical device. Not for diagnosis or treatment decisions."
)


@dataclass(frozen=True, slots=True)
class Origin:
    """Which node speaks: its AE title and the name of its machine."""

    ae_title: str
    host: str


def trial_digest() -> Digest:
    """What `dicomnode alert test` sends."""
    alarm = Alarm("test", "this is a test of the alerts", "nothing is wrong")
    return Digest(raised=(alarm,))


def subject(origin: Origin, digest: Digest) -> str:
    """One line: the node, and what is new or over."""
    new = [one.title for one in digest.raised]
    over = [f"{title_of(key)}: over" for key in digest.cleared]
    words = [*new, *over] or [f"{len(digest.standing)} alarm(s) stand"]
    return f"[dicomnode {origin.ae_title}] {', '.join(words)}"


def text(origin: Origin, digest: Digest, now: datetime) -> str:
    """For people."""
    return "\n".join(_lines(origin, digest, now)) + "\n"


def _lines(origin: Origin, digest: Digest, now: datetime) -> Iterator[str]:
    at = f"{now:%Y-%m-%d %H:%M:%S}Z"
    yield f"dicomnode {origin.ae_title} on {origin.host}, {at}"
    for heading, alarms in (("New", digest.raised), ("Still", digest.standing)):
        for one in alarms:
            yield from ("", f"{heading}: {one.what}", f"  remedy: {one.remedy}")
            yield from (f"  job {job}" for job in one.jobs)
    for key in digest.cleared:
        yield from ("", f"Over: {title_of(key)}")
    yield from ("", NOTICE)


def record(origin: Origin, digest: Digest, now: datetime) -> dict[str, Any]:
    """For programs; docs/operations.md lists the fields."""
    return {
        "node": origin.ae_title,
        "host": origin.host,
        "at": now.isoformat(timespec="seconds").replace("+00:00", "Z"),
        "subject": subject(origin, digest),
        "alarms": [
            *(_alarm(one, "RAISED") for one in digest.raised),
            *(_alarm(one, "STANDING") for one in digest.standing),
            *(
                {"key": key, "state": "CLEARED", "what": title_of(key)}
                for key in digest.cleared
            ),
        ],
        "notice": NOTICE,
    }


def _alarm(one: Alarm, state: str) -> dict[str, Any]:
    return {
        "key": one.key,
        "state": state,
        "what": one.what,
        "remedy": one.remedy,
        "number": one.number,
        "jobs": list(one.jobs),
    }
