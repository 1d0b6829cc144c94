"""What `doctor` looks at in an object store, and in the spool before it."""

# ruff: noqa: PLC0415 - each look imports what it needs

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from dicomnode.cli.checkups import Look, fail, ok, warn
from dicomnode.errors import ConfigError, StoreUnreachable
from dicomnode.health.moments import age
from dicomnode.health.spool import LATE_SECONDS, spool

if TYPE_CHECKING:
    from dicomnode.config import Config


def object_store(config: Config) -> Iterator[Look]:
    """Whether an object can be put, read, listed and removed; nothing without one."""
    from dicomnode.processes import storing

    for url, kind in storing.remote_urls(config):
        try:
            storing.open_bucket(config, url, kind).probe()
        except (ConfigError, StoreUnreachable) as error:
            what, _, remedy = str(error).partition("; ")
            yield fail("object store", f"{url}/{kind}: {what}", remedy)
        else:
            yield ok("object store", f"{url}/{kind} can be written and read")
    if config.store.spool:
        yield _spool(config)


def _spool(config: Config) -> Look:
    now = datetime.now(UTC)
    found = spool(config.node.data_dir)
    if found.oldest_at is None:
        return ok("spool", "everything is handed over")
    said = f"{found.n_files} file(s) wait, the oldest since {age(found.oldest_at, now)}"
    if (now - found.oldest_at).total_seconds() < LATE_SECONDS:
        return ok("spool", said)
    remedy = "see why in the log of `dicomnode receive`, which hands them over"
    return warn("spool", said, remedy)
