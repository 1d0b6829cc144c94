"""The pages, the API and the metrics, on their own port."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from threading import Thread
from typing import TYPE_CHECKING

import uvicorn

from dicomnode import web
from dicomnode.config import Config, Pipeline
from dicomnode.errors import DicomNodeError, UnknownStudy
from dicomnode.health.looking import look, surroundings
from dicomnode.processes import wiring
from dicomnode.processes.clock import SystemClock
from dicomnode.processes.role import asked_to_stop, role
from dicomnode.processes.senders import open_sender
from dicomnode.worklist import Views, Worklist, open_views

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

_HOUR_SECONDS = 3600


def main(config: Config) -> int:
    """Serve until asked to stop."""
    with role("web", config) as stop, wiring.opened_worklist(config) as worklist:
        views = open_views(config.worklist_url)
        room = _room(config, worklist, views)
        server = uvicorn.Server(_settings(config, room, stop.is_set))
        thread = Thread(target=server.run, name="web", daemon=True)
        thread.start()
        well = asked_to_stop(stop, thread.is_alive)
        server.should_exit = True
        thread.join()
        views.close()
    return 0 if well else 1


def _settings(
    config: Config, room: web.Room, stopping: Callable[[], bool]
) -> uvicorn.Config:
    app = web.create(
        room,
        config.web.secret.get_secret_value() or secrets.token_urlsafe(),
        session_seconds=round(config.web.session_hours * _HOUR_SECONDS),
        https=config.web.https,
        stopping=stopping,
    )
    return uvicorn.Config(
        app,
        host=config.web.host,
        port=config.web.port,
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=3,
        limit_concurrency=500,
    )


def _room(config: Config, worklist: Worklist, views: Views) -> web.Room:
    clock, around = SystemClock(), surroundings(config)

    return web.Room(
        site=_site(config),
        accounts=_accounts(config),
        views=views,
        desk=worklist.desk,
        clock=clock,
        look=lambda: look(views, clock.now(), around),
        results=lambda job_id: _results(config, worklist, job_id),
        cards=lambda: [_card(config, one) for one in config.pipeline],
        audit=lambda _limit: [],
        echo=lambda name: _echo(config, name),
    )


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
            for one in config.destination
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

    store = wiring.open_results_store(config)
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
