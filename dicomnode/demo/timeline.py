"""When each study was received, complete, analysed and delivered."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from dicomnode.demo.outcome import Outcome, Row
from dicomnode.results.markup import Html, element

_PHASES = (
    ("receiving", "receiving, and the quiet second after it"),
    ("waiting", "waiting for the worker"),
    ("working", "decoding, network, building the results"),
    ("sending", "on the way to the PACS"),
)
_COLOURS = {
    "receiving": "#8aa4bd",
    "waiting": "#c9a227",
    "working": "#2f7ed8",
    "sending": "#2aa876",
}


@dataclass(frozen=True, slots=True)
class Times:
    """The instants of one study, aware UTC; None for what has not happened."""

    received_at: datetime | None
    completed_at: datetime | None
    started_at: datetime | None
    finished_at: datetime | None
    sent_at: datetime | None

    @property
    def known(self) -> tuple[datetime, ...]:
        """Every instant that there is, in order."""
        every = (
            self.received_at,
            self.completed_at,
            self.started_at,
            self.finished_at,
            self.sent_at,
        )
        return tuple(one for one in every if one is not None)

    @property
    def report_delay(self) -> timedelta | None:
        """From `the study is complete` to the last result in the PACS."""
        if self.completed_at is None or self.sent_at is None:
            return None
        return self.sent_at - self.completed_at


def times_of(outcome: Outcome) -> Times:
    """The instants that the worklist holds of a study."""
    row = outcome.row
    sent = [instant(one, "sent_at") for one in outcome.deliveries]
    return Times(
        received_at=instant(row, "received_at"),
        completed_at=instant(row, "completed_at"),
        started_at=instant(row, "started_at"),
        finished_at=instant(row, "finished_at"),
        sent_at=max((one for one in sent if one is not None), default=None),
    )


def instant(row: Row, column: str) -> datetime | None:
    """A time of a v1 view (ISO 8601, UTC), or None."""
    value = row.get(column)
    if value is None or isinstance(value, datetime):
        return value
    return datetime.fromisoformat(str(value)) if str(value) else None


def table(outcomes: Sequence[Outcome]) -> Html:
    """The worklist, with a bar for each study on one common axis."""
    times = [times_of(one) for one in outcomes]
    known = [at for one in times for at in one.known]
    if not known:
        return element("p", "The worklist is empty.")
    start, end = min(known), max(known)
    rows = [
        _row(outcome, one, (start, end))
        for outcome, one in zip(outcomes, times, strict=True)
    ]
    head = ("Study", "Sent as", "State", "Attempts", "Report after", "Timeline")
    header = element("tr", *(element("th", name) for name in head))
    body = element("table", element("thead", header), element("tbody", *rows))
    return Html(element("div", body, class_="scroll") + _key(end - start))


def _row(outcome: Outcome, times: Times, axis: tuple[datetime, datetime]) -> Html:
    row = outcome.row
    state = row.get("job_state") or row.get("study_state") or "unknown"
    # "Completed" alone would not tell a negative from one that was not analysed.
    state = ", ".join(str(word) for word in (state, row.get("outcome")) if word)
    delay = times.report_delay
    return element(
        "tr",
        element("td", outcome.case.title),
        element("td", outcome.case.transfer_syntax_uid.name),
        element("td", state),
        element("td", str(outcome.row.get("attempts") or 0), class_="number"),
        element("td", _seconds(delay) if delay else "–", class_="number"),
        element("td", _bar(times, axis)),
    )


def _bar(times: Times, axis: tuple[datetime, datetime]) -> Html:
    span = (axis[1] - axis[0]) or timedelta(seconds=1)
    pieces = [
        element(
            "i",
            class_=phase,
            style=f"left:{100 * ((begin - axis[0]) / span):.2f}%;"
            f"width:{100 * ((end - begin) / span):.2f}%",
        )
        for phase, begin, end in _stretches(times)
    ]
    return element("div", *pieces, class_="bar")


def _stretches(times: Times) -> Iterator[tuple[str, datetime, datetime]]:
    ends = (times.completed_at, times.started_at, times.finished_at, times.sent_at)
    begin = times.received_at
    for (phase, _), end in zip(_PHASES, ends, strict=True):
        if begin is not None and end is not None and end >= begin:
            yield phase, begin, end
        begin = end or begin


def _key(span: timedelta) -> Html:
    entries = [
        element("span", element("i", style=f"background:{_COLOURS[phase]}"), words)
        for phase, words in _PHASES
    ]
    whole = element("span", f"The whole axis is {_seconds(span)}.")
    return element("p", *entries, whole, class_="key")


def _seconds(span: timedelta) -> str:
    return f"{span.total_seconds():.2f} s"
