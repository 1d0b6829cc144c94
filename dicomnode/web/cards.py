"""What a bundle says of itself, and what its pipeline has seen lately; plain JSON."""

from __future__ import annotations

import json
from bisect import bisect_right
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from markupsafe import Markup

from dicomnode.web.drawing import Bar, bars, reliability

Record = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Plot:
    """A picture and the words above it."""

    title: str
    picture: Markup


@dataclass(frozen=True, slots=True)
class Card:
    """One pipeline's bundle. ``problem`` is set when its files cannot be read."""

    pipeline: str
    bundle: str
    mode: str
    description: Record
    plots: tuple[Plot, ...] = ()
    watched: tuple[Plot, ...] = ()
    problem: str = ""


def card(pipeline: str, mode: str, folder: Path, monitor: Path) -> Card:
    """The card of the bundle in ``folder``; ``monitor``: the pipeline's drift file."""
    try:
        description = _json(folder / "bundle.json")
        evaluation = _json(folder / "report" / "evaluation.json")
    except (OSError, ValueError) as error:
        said = f"{folder}: {error}; `dicomnode model verify` says what is wrong"
        return Card(pipeline, folder.name, mode, {}, problem=said)
    return Card(
        pipeline,
        folder.name,
        mode,
        description,
        tuple(_calibration(evaluation)),
        tuple(_watched(description, monitor)),
    )


def _json(path: Path) -> Record:
    found = json.loads(path.read_text("utf-8"))
    if not isinstance(found, dict):
        raise ValueError(f"{path.name} is no table")  # noqa: TRY004 - as JSON's own
    return found


def _calibration(evaluation: Record) -> Iterator[Plot]:
    for one in evaluation.get("plots", ()):
        if one["name"] == "Reliability":
            series = one["series"][0]
            title = f"{one['section']}, {one['on']}"
            words = (
                f"Reliability of {title}: promised probability and share that came true"
            )
            yield Plot(title, reliability(series["points"], series["intervals"], words))


def _watched(description: Record, monitor: Path) -> Iterator[Plot]:
    """The last images of each station among the tenths of the reference."""
    try:
        streams = _json(monitor)["streams"]
    except (OSError, ValueError, KeyError):
        return  # nothing was watched yet, or the worker starts the file anew
    features = (description.get("reference") or {}).get("features", {})
    for name, stream in streams.items():
        for what, feature in features.items():
            if what.startswith("score"):
                values = [one["values"].get(what) for one in stream["window"]]
                edges = feature["edges"]
                yield _histogram(f"{name}, {what}", edges, values)


def _histogram(title: str, edges: list[float], values: list[float | None]) -> Plot:
    counts = [0] * (len(edges) + 1)
    known = [value for value in values if value is not None]
    for value in known:
        counts[bisect_right(edges, value)] += 1
    names = [f"up to {edge:.3g}" for edge in edges] + ["more"]
    drawn = [Bar(name, count) for name, count in zip(names, counts, strict=True)]
    words = f"{title}: the last {len(known)} images among the parts of the reference"
    return Plot(f"{title}, n = {len(known)}", bars(drawn, words))
