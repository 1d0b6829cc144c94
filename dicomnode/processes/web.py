"""The pages, the API and the metrics, on their own port."""

from __future__ import annotations

import secrets
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from threading import Thread
from typing import TYPE_CHECKING

import structlog
import uvicorn
from fastapi import FastAPI

from dicomnode import web
from dicomnode.audit import codes
from dicomnode.config import Config, Pipeline
from dicomnode.errors import ConfigError, DicomNodeError, UnknownStudy
from dicomnode.health.looking import look, surroundings
from dicomnode.processes import auditing, presence, service, storing, wiring
from dicomnode.processes.auditing import Auditor
from dicomnode.processes.clock import SystemClock
from dicomnode.processes.purging import Wish, purge
from dicomnode.processes.renewal import Renewal
from dicomnode.processes.role import asked_to_stop, role
from dicomnode.processes.senders import open_sender
from dicomnode.processes.service import Pulse
from dicomnode.web.connection import patient_for
from dicomnode.worklist import Views, Worklist, open_views

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

_log = structlog.get_logger(__name__)

_HOUR_SECONDS = 3600
_BACKLOG = 128
HANGS_SECONDS = 60.0
"""The event loop turns many times a second; requests run in threads beside it."""


def main(config: Config) -> int:
    """Serve until asked to stop."""
    renewal = Renewal(config)
    with (
        role("web", config, renewal.ask) as stop,
        auditing.audited_role("web", config) as audit,
        wiring.opened_worklist(config) as worklist,
        presence.present("web", worklist),
        listening(config.web.host, config.web.port) as listener,
    ):
        views = open_views(config.worklist_url)
        room = _room(config, worklist, views, audit)
        app = _app(config, room, stop.is_set)
        pulse = Pulse(HANGS_SECONDS)
        server = uvicorn.Server(_settings(config, app, pulse))
        thread = Thread(target=lambda: server.run([listener]), name="web", daemon=True)
        thread.start()
        _log.info("web.ready", port=listener.getsockname()[1])

        def is_well() -> bool:
            if taken := renewal.taken():
                new = _room(taken.config, worklist, views, audit)
                # What guessers have tried stays counted.
                app.state.room = replace(new, attempts=room.attempts)
                renewal.applied()
            return thread.is_alive()

        service.ready()
        well = asked_to_stop(stop, is_well, pulse)
        server.should_exit = True
        thread.join()
        views.close()
    return 0 if well else 1


@contextmanager
def listening(host: str, port: int) -> Iterator[socket.socket]:
    """A socket of our own; raises ConfigError when there is none to have."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        made = socket.create_server((host, port), family=family, backlog=_BACKLOG)
    except OSError as error:
        raise ConfigError(
            f"cannot serve the pages on {host}:{port} ({error.strerror}); stop the "
            "program that uses the port, or set web.host or web.port"
        ) from error
    with made:
        yield made


def _app(config: Config, room: web.Room, stopping: Callable[[], bool]) -> FastAPI:
    return web.create(
        room,
        config.web.secret.get_secret_value() or secrets.token_urlsafe(),
        session_seconds=round(config.web.session_hours * _HOUR_SECONDS),
        https=config.web.https,
        stopping=stopping,
    )


def _settings(config: Config, app: FastAPI, pulse: Pulse) -> uvicorn.Config:
    async def turned() -> None:
        pulse.beat("web")

    return uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        server_header=False,
        # The room reads X-Forwarded-For itself, and only from web.proxy_hosts.
        proxy_headers=False,
        http=patient_for(config.web.timeout_seconds),
        ws="none",
        timeout_graceful_shutdown=3,
        limit_concurrency=config.web.max_connections,
        callback_notify=turned,
        timeout_notify=1,
    )


def _room(config: Config, worklist: Worklist, views: Views, audit: Auditor) -> web.Room:
    clock, around = SystemClock(), surroundings(config)

    return web.Room(
        site=_site(config),
        accounts=_accounts(config),
        views=views,
        desk=worklist.desk,
        holds=worklist.holds,
        backfills=worklist.backfills,
        witness=_Witness(audit, views),
        clock=clock,
        look=lambda: look(views, clock.now(), around),
        results=lambda job_id: _results(config, worklist, job_id),
        instances=worklist.studies.instances,
        cards=lambda: [_card(config, one) for one in config.pipeline],
        audit=lambda who, limit: _trail(config, audit, who, limit),
        purge=lambda who, study, reason: _purge(
            config, worklist, audit, who, study, reason
        ),
        echo=lambda name: _echo(config, name),
        metrics=config.web.metrics,
        most_streams=config.web.max_streams,
    )


@dataclass(frozen=True, slots=True)
class _Witness:
    """web.Witness over the audit trail."""

    audit: Auditor
    views: Views

    def acted(self, who: web.Who, act: str, about: str) -> None:
        self.audit.on_behalf(who.name, who.address).restricted(act, about)

    def shown(self, who: web.Who, study_instance_uid: str) -> None:
        reader = self.audit.on_behalf(who.name, who.address)
        reader.study_shown(self.views, study_instance_uid)

    def signed_in(self, who: web.Who, error: str = "") -> None:
        self.audit.authenticated(who.name, who.address, codes.LOGIN, error)

    def signed_out(self, who: web.Who) -> None:
        self.audit.authenticated(who.name, who.address, codes.LOGOUT)


def _trail(config: Config, audit: Auditor, who: web.Who, limit: int) -> Sequence[str]:
    folder = auditing.audit_folder(config)
    audit.on_behalf(who.name, who.address).trail_read(folder)
    return auditing.last_entries(config, limit)


def _purge(
    config: Config,
    worklist: Worklist,
    audit: Auditor,
    who: web.Who,
    study: str,
    reason: str,
) -> int:
    by = audit.on_behalf(who.name, who.address)
    return purge(config, worklist, by, Wish(study, who.name, reason))


def _accounts(config: Config) -> web.Accounts:
    return web.Accounts(
        known={
            one.name: web.Account(
                one.name, _role(one.role), one.secret.get_secret_value(), one.phi
            )
            for one in config.account
        },
        anonymous=_role(config.web.anonymous),
        proxy_header=config.web.proxy_header,
        proxy_hosts=frozenset(config.web.proxy_hosts),
    )


def _role(name: str) -> web.Role:
    return web.Role[name.upper()]


def _site(config: Config) -> web.Site:
    return web.Site(
        ae_title=config.node.ae_title,
        host=config.receiver.host,
        port=config.receiver.port,
        tls_port=config.receiver.tls.port if config.receiver.tls.enabled else 0,
        peers=tuple(web.Peer(one.ae_title, one.hosts) for one in config.peer),
        destinations=tuple(
            web.Destination(one.name, one.ae_title, one.host, one.port)
            for one in config.result_destinations
        ),
        pipelines=tuple(
            web.Pipeline(one.name, one.bundle, one.mode, one.destinations)
            for one in config.pipeline
        ),
    )


def _card(config: Config, pipeline: Pipeline) -> web.Card:
    monitor = config.node.data_dir / "monitor" / f"{pipeline.name}.json"
    try:
        folder = wiring.bundle_folder(
            config, pipeline.bundle, shadow=pipeline.mode == "shadow"
        )
    except DicomNodeError as error:
        return web.Card(
            pipeline.name, pipeline.bundle, pipeline.mode, {}, problem=str(error)
        )
    return web.card(pipeline.name, pipeline.mode, folder, monitor)


def _echo(config: Config, name: str) -> float:
    (destination,) = (one for one in config.destination if one.name == name)
    return open_sender(destination, config).echo()


def _results(config: Config, worklist: Worklist, job_id: str) -> Sequence[Dataset]:
    from pydicom import dcmread  # noqa: PLC0415 - the pages mostly need none

    store = storing.open_results_store(config)
    read: list[Dataset] = []
    for one in worklist.jobs.results(job_id):
        try:
            with store.open(one.location) as file:
                read.append(dcmread(file))
        except FileNotFoundError:
            message = (
                f"the files of job {job_id} are gone (retention.keep_days); the PACS "
                "has the report, or `dicomnode reconcile` says what is missing"
            )
            raise UnknownStudy(message) from None
    return read
