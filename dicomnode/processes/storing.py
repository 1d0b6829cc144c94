"""Where instances and results lie: from the configuration to concrete stores."""

# ruff: noqa: PLC0415 - the object store is an extra

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from dicomnode.config import Config
from dicomnode.config.sources import DEFAULT_CREDENTIALS
from dicomnode.errors import ConfigError
from dicomnode.ports import InstanceStore, Quarantine, Spools, Stock
from dicomnode.store import Inspection, LocalStore
from dicomnode.store.quarantine import Quarantine as LocalQuarantine

if TYPE_CHECKING:
    from dicomnode.store.bucket import Bucket
    from dicomnode.store.objects import ObjectStore

RESULTS_WATERMARK_PERCENT = 99.0
"""Results are small and of patients already analysed: they may use the last room."""

CREDENTIALS = "aws_credentials"
"""A file in the credentials directory, as ``~/.aws/credentials`` is written."""


def open_store(config: Config) -> InstanceStore:
    """The store of received instances."""
    watermark = config.store.watermark_percent
    folder = _folder(config, "instances")
    if not config.store.is_remote:
        return LocalStore(folder, watermark)
    objects = _objects(config, config.store.url, "instances", watermark)
    if not config.store.spool:
        return objects
    from dicomnode.store.spool import SpoolStore

    return SpoolStore(objects, folder, watermark)


def open_results_store(config: Config) -> InstanceStore:
    """The store of built results: the exact bytes are kept and re-sent."""
    url = _results_url(config)
    if not _is_remote(url):
        return LocalStore(_folder(config, "results"), RESULTS_WATERMARK_PERCENT)
    return _objects(config, url, "results", RESULTS_WATERMARK_PERCENT)


def open_quarantine(config: Config) -> Quarantine:
    """What was refused and set aside: on the local disk, wherever the store is."""
    return LocalQuarantine(_folder(config, "instances"))


def open_stock(config: Config) -> Stock:
    """The files of received instances, as they lie there."""
    folder = Inspection(_folder(config, "instances"))
    if not config.store.is_remote:
        return folder
    objects = _inspection(config, config.store.url, "instances")
    if not config.store.spool:
        return objects
    from dicomnode.store.spool import SpoolInspection

    return SpoolInspection(folder, objects)


def open_results_stock(config: Config) -> Stock:
    """The files of results, as they lie there."""
    url = _results_url(config)
    if not _is_remote(url):
        return Inspection(_folder(config, "results"))
    return _inspection(config, url, "results")


def root(config: Config, kind: str) -> str:
    """What locations of instances or results are below: a folder, or an s3:// URL."""
    url = config.store.url if kind == "instances" else _results_url(config)
    return f"{url}/{kind}" if _is_remote(url) else str(_folder(config, kind))


@contextmanager
def handing_over(config: Config, rows: Spools) -> Iterator[Callable[[], bool]]:
    """While this lasts what is spooled is handed over; tells whether that goes on."""
    if not config.store.spool:
        yield lambda: True
        return
    from dicomnode.store.hand_over import HandOver

    bucket = open_bucket(config, config.store.url, "instances")
    worker = HandOver(_folder(config, "instances"), bucket, rows=rows)
    worker.start()
    try:
        yield lambda: worker.is_alive
    finally:
        worker.stop()


def open_bucket(config: Config, url: str, kind: str) -> Bucket:
    """The part of a bucket for instances or results; raises ConfigError."""
    try:
        from dicomnode.store.bucket import Bucket, Place
    except ImportError as error:
        message = (
            f"store.url {url} needs the package {error.name}; install dicomnode with "
            "its extra: dicomnode[s3]"
        )
        raise ConfigError(message) from error
    parts, store = urlsplit(url), config.store
    prefix = parts.path.strip("/")
    return Bucket(
        Place(
            parts.netloc,
            f"{prefix}/{kind}" if prefix else kind,
            endpoint=store.endpoint,
            region=store.region,
            ca=store.ca,
            credentials=_credentials(),
            timeout_seconds=store.timeout_seconds,
        )
    )


def remote_urls(config: Config) -> Iterator[tuple[str, str]]:
    """The URLs of object stores in use, each with what lies there."""
    for url, kind in (
        (config.store.url, "instances"),
        (_results_url(config), "results"),
    ):
        if _is_remote(url):
            yield url, kind


def _objects(config: Config, url: str, kind: str, watermark: float) -> ObjectStore:
    bucket = open_bucket(config, url, kind)
    from dicomnode.store.objects import ObjectStore

    folder = config.node.data_dir / kind
    return ObjectStore(bucket, folder, watermark, config.store.cache_bytes)


def _inspection(config: Config, url: str, kind: str) -> Stock:
    bucket = open_bucket(config, url, kind)
    from dicomnode.store.object_stock import ObjectInspection
    from dicomnode.store.read_objects import ReadObjects

    folder = config.node.data_dir / kind
    return ObjectInspection(bucket, ReadObjects(bucket, folder, 0))


def _folder(config: Config, kind: str) -> Path:
    """The local folder: of the store, or where instances come in and are spooled."""
    url = config.store.url if kind == "instances" else config.store.results_url
    if url and not _is_remote(url):
        return Path(url)
    return config.node.data_dir / kind


def _results_url(config: Config) -> str:
    store = config.store
    return store.results_url or (store.url if store.is_remote else "")


def _is_remote(url: str) -> bool:
    return url.startswith("s3://")


def _credentials() -> Path | None:
    folder = Path(os.environ.get("CREDENTIALS_DIRECTORY") or DEFAULT_CREDENTIALS)
    path = folder / CREDENTIALS
    return path if path.is_file() else None
