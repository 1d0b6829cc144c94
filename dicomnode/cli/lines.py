"""One change of the worklist on one line for people: `tail` and `show`. Pure.

::

    09:14:02  #0fe22b2f  RECEIVED   CR1 CR 2 img                       st:7f3a
    09:16:41  #76bdceb5  RETRY      sr 1.2.3 PACS refused ...   -> dicomnode echo PACS
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import typer

from dicomnode.cli import printing
from dicomnode.health.alarms import short_hash
from dicomnode.health.moments import moment

SHORT = 8
"""So many digits of a job's id are shown; `dicomnode show` finds it by them."""

Record = Mapping[str, Any]

_WORDS = {
    "study receive": "RECEIVED",
    "study complete": "READY",
    "study route": "ROUTED",
    "study leave": "SKIPPED",
    "job schedule": "QUEUED",
    "job claim": "RUNNING",
    "job finish": "DONE",
    "job fail": "FAILED",
    "job postpone": "RETRY",
    "job skip": "SKIPPED",
    "job exhaust": "FAILED",
    "delivery schedule": "TO SEND",
    "delivery send": "DELIVERED",
    "delivery postpone": "RETRY",
    "delivery give up": "FAILED",
    "delivery commit": "COMMITTED",
    "delivery reject": "REJECTED",
    "instance refuse": "REFUSED",
    "destination absent": "ABSENT",
    "destination return": "BACK",
}
_COLOURS = {
    "FAILED": typer.colors.RED,
    "REJECTED": typer.colors.RED,
    "REFUSED": typer.colors.RED,
    "RETRY": typer.colors.YELLOW,
    "SKIPPED": typer.colors.YELLOW,
    "ABSENT": typer.colors.YELLOW,
    "RUNNING": typer.colors.CYAN,
    "DONE": typer.colors.GREEN,
    "DELIVERED": typer.colors.GREEN,
    "COMMITTED": typer.colors.GREEN,
}
_WIDTH = 10
_UID = re.compile(r"\b[0-9][0-9.]{18,}[0-9]\b")
_END_OF_UID = 8
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
_DELIVERY = re.compile(r"(?P<what>\S+) (?P<uid>[\d.]+) (?P<to>\S+)(?P<rest>.*)")


def line(
    event: Record,
    row: Record | None,
    now: datetime,
    *,
    coloured: bool = False,
    identity: Record | None = None,
) -> str:
    """One event; ``row`` is one of v1_worklist of its study or job, if there is one.

    identity: of v1_identity, for who asked to see it.
    """
    word = _WORDS.get(event["kind"], str(event["kind"]).upper().replace(" ", "-"))
    shown = f"{word:<{_WIDTH}}"
    if coloured and word in _COLOURS:
        shown = typer.style(shown, fg=_COLOURS[word])
    job = f"#{event['job_id'][:SHORT]}" if event["job_id"] else ""
    parts = [_time(event["at"], now), f"{job:<{SHORT + 1}}", shown, _about(event, row)]
    if event["study_instance_uid"]:
        parts.append(f"st:{short_hash(event['study_instance_uid'])}")
    if identity:
        who = f"{identity['patient_name']} [{identity['patient_id']}]"
        parts.append(printing.text_of(who))
    if remedy := _remedy(word, event):
        parts.append(f"-> {remedy}")
    return "  ".join(one for one in parts if one.strip() or one == parts[1]).rstrip()


def fitted(text: str) -> str:
    """On a terminal where it would not fit, with UIDs cut to their ends.

    `show` and a pipe have them whole.
    """
    n_columns = len(_COLOUR.sub("", text))
    if not printing.is_terminal() or n_columns <= printing.width():
        return text
    return _UID.sub(lambda found: f"…{found[0][-_END_OF_UID:]}", text)


def _time(at: object, now: datetime) -> str:
    """Local time; with the day when that is not today."""
    local, today = moment(at).astimezone(), now.astimezone().date()
    return f"{local:%H:%M:%S}" if local.date() == today else f"{local:%F %H:%M:%S}"


def _about(event: Record, row: Record | None) -> str:
    kind, detail = str(event["kind"]), printing.text_of(event["detail"])
    if row is not None and kind in ("study receive", "study complete"):
        sent = f"{row['calling_ae_title']} {row['modality']} {row['n_instances']} img"
        return printing.text_of(f"{sent}  {detail}".rstrip())
    if row is not None and kind.startswith("job "):
        said = f"{row['pipeline']} {_speed(event, row)}{detail}".rstrip(": ")
        return printing.text_of(said)
    return detail


def _speed(event: Record, row: Record) -> str:
    started, finished = row["started_at"], row["finished_at"]
    if event["kind"] != "job finish" or not (started and finished):
        return ""
    return f"{(moment(finished) - moment(started)).total_seconds():.1f} s "


def _remedy(word: str, event: Record) -> str:
    """The command that helps; an event that is no failure has none."""
    kind, job = str(event["kind"]), str(event["job_id"] or "")[:SHORT]
    if word == "FAILED" and kind.startswith("job "):
        return f"dicomnode show {job}"
    sent = _DELIVERY.match(str(event["detail"]))
    if kind.startswith("delivery ") and word in ("RETRY", "FAILED", "REJECTED"):
        return f"dicomnode echo {sent['to']}" if sent else "dicomnode status"
    return ""
