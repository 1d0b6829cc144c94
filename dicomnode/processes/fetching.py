"""How a backfill asks an archive, by the way that the configuration names.

What is sent to our receiver (C-MOVE) is the receiver's. What we fetch (C-GET, WADO-RS)
takes the receiver's way in this process: its handler, store, limits and worklist.
"""

# ruff: noqa: PLC0415 - DICOMweb is an extra

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, cast
from urllib.parse import urlsplit

from dicomnode.config import Config, Destination
from dicomnode.delivery.get_scu import GetScu
from dicomnode.delivery.query_scu import QueryScu
from dicomnode.domain.backfill import Brought, Taken
from dicomnode.errors import ConfigError
from dicomnode.ports import Archive, Intake, Taking
from dicomnode.processes import receive, storing, wiring
from dicomnode.processes.clock import SystemClock
from dicomnode.processes.senders import peer_of, timeout_seconds
from dicomnode.receiver.handlers import StoreHandler
from dicomnode.receiver.requests import StoreRequest
from dicomnode.worklist import Worklist

if TYPE_CHECKING:
    from dicomnode.delivery.dicomweb import QidoClient, Service


class ReceiverTaking:
    """Implements ``ports.Taking`` by what answers the C-STOREs of the receiver."""

    def __init__(
        self, handler: StoreHandler, archive: Destination, called_ae_title: str
    ) -> None:
        self._handler = handler
        self._archive = archive
        self._called_ae_title = called_ae_title

    def take(self, instance: Brought, n_bytes_before: int) -> Taken:
        """Keep, record, answer; never raises."""
        request = StoreRequest(
            data_set=instance.data_set,
            sop_class_uid=instance.sop_class_uid,
            sop_instance_uid=instance.sop_instance_uid,
            transfer_syntax_uid=instance.transfer_syntax_uid,
            calling_ae_title=self._archive.ae_title or self._archive.name,
            called_ae_title=self._called_ae_title,
            address=address_of(self._archive),
        )
        answer = self._handler(request, n_bytes_before)
        return Taken(answer.status, answer.comment, answer.short_comment)


def finder(config: Config, archive: Destination) -> QueryScu | QidoClient:
    """What only finds. Raises ConfigError when an extra is missing."""
    if archive.retrieve == "dicomweb":
        service = _service(config, archive)
        from dicomnode.delivery.dicomweb import QidoClient

        return QidoClient(service)
    return QueryScu(peer_of(archive, config), config.backfill.move_timeout_seconds)


@contextmanager
def opened_archive(
    config: Config, archive: Destination, worklist: Worklist, intake: Intake
) -> Iterator[Archive]:
    """What finds and retrieves; ``intake`` records what we fetch ourselves.

    While it is open what is spooled is handed over too.
    """
    if archive.retrieve == "c-move":
        yield cast(Archive, finder(config, archive))
        return
    with storing.handing_over(config, worklist.spools):
        yield _fetching(config, archive, taking(config, archive, worklist, intake))


def taking(
    config: Config, archive: Destination, worklist: Worklist, intake: Intake
) -> Taking:
    """The receiver's way into the store and the worklist."""
    handler = StoreHandler(
        receive.open_store(config, worklist),
        intake,
        SystemClock(),
        wiring.extra_keywords(config),
        receive.limits(config),
        config.receiver.quarantine,
    )
    return ReceiverTaking(handler, archive, config.node.ae_title)


def address_of(archive: Destination) -> str:
    """The host that we call, without port."""
    if archive.retrieve == "dicomweb":
        return urlsplit(archive.dicomweb_url).hostname or ""
    return archive.host


def _fetching(config: Config, archive: Destination, into: Taking) -> Archive:
    if archive.retrieve == "c-get":
        silent_seconds = config.backfill.move_timeout_seconds
        return GetScu(peer_of(archive, config), silent_seconds, into)
    service = _service(config, archive)
    from dicomnode.delivery.dicomweb import WadoClient

    return WadoClient(service, into, config.receiver.max_instance_bytes)


def _service(config: Config, archive: Destination) -> Service:
    try:
        from dicomnode.delivery.dicomweb import Service
    except ImportError as error:
        message = (
            f'retrieve = "dicomweb" needs the package {error.name}; install dicomnode '
            "with its extra: dicomnode[dicomweb]"
        )
        raise ConfigError(message) from error
    return Service(
        archive.dicomweb_url,
        archive.dicomweb_ca,
        archive.dicomweb_user,
        archive.dicomweb_password.get_secret_value(),
        archive.dicomweb_token.get_secret_value(),
        connect_seconds=timeout_seconds(archive, config),
        silent_seconds=config.backfill.move_timeout_seconds,
    )
