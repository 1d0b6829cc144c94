"""What a running node takes up of a new configuration, and what waits for a restart."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass

from pydantic import BaseModel

from dicomnode.config.models import Config

# Ports, files and databases that are open; all else is taken up while running.
_KEPT_TABLES = ("node", "database", "store", "telemetry", "audit")
_TAKEN_OF_RECEIVER = ("require_called_ae_title", "unknown_peers")
_TAKEN_OF_WEB = ("anonymous", "proxy_header", "proxy_hosts", "metrics", "max_streams")


@dataclass(frozen=True, slots=True)
class Taken:
    """``config`` is what holds from now on; ``changed`` keys are in it, others wait.

    Keys are dotted, as ``peer[1].hosts`` where tables are numbered from 1; of a table
    that came or went only its name is told, as ``peer[2]``.
    """

    config: Config
    changed: tuple[str, ...]
    waiting: tuple[str, ...]

    def touches(self, tables: Collection[str]) -> bool:
        """Whether a key of these tables has changed."""
        return any(
            key.partition(".")[0].partition("[")[0] in tables for key in self.changed
        )


def take(before: Config, new: Config) -> Taken:
    """``new``, with the values of ``before`` where only a restart can change them."""
    held: dict[str, object] = {name: getattr(before, name) for name in _KEPT_TABLES}
    held["receiver"] = _but(before.receiver, new.receiver, _TAKEN_OF_RECEIVER)
    held["web"] = _but(before.web, new.web, _TAKEN_OF_WEB)
    config = new.model_copy(update=held)
    return Taken(
        config, tuple(_differing(before, config)), tuple(_differing(config, new))
    )


def _but(before: BaseModel, new: BaseModel, taken: Collection[str]) -> BaseModel:
    return before.model_copy(update={name: getattr(new, name) for name in taken})


def _differing(before: Config, after: Config) -> Iterator[str]:
    one, other = dict(_values(before)), dict(_values(after))
    told: dict[str, None] = {}
    for key in sorted({*one, *other}):
        if key not in one or key not in other:
            told[_table_of(key)] = None
        elif one[key] != other[key]:
            told[key] = None
    yield from told


def _table_of(key: str) -> str:
    """Of a key that was not there before, or is there no more: ``peer[2]``."""
    table, bracket, _ = key.rpartition("]")
    return f"{table}{bracket}" or key


def _values(table: BaseModel, prefix: str = "") -> Iterator[tuple[str, object]]:
    for name in type(table).model_fields:
        value, key = getattr(table, name), f"{prefix}{name}"
        if isinstance(value, BaseModel):
            yield from _values(value, f"{key}.")
        elif isinstance(value, tuple) and any(isinstance(v, BaseModel) for v in value):
            for number, one in enumerate(value, start=1):
                yield from _values(one, f"{key}[{number}].")
        elif not (isinstance(value, tuple) and not prefix):
            yield key, value
