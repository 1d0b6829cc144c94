"""The application: routes, headers, sessions, and what an error looks like."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, RedirectResponse, Response
from fastapi.staticfiles import StaticFiles
from starlette.exceptions import HTTPException
from starlette.middleware.sessions import SessionMiddleware

from dicomnode.errors import (
    DicomNodeError,
    IllegalTransition,
    UnknownStudy,
    WorklistError,
)
from dicomnode.version import VERSION
from dicomnode.web.acts import acts
from dicomnode.web.api import api
from dicomnode.web.backfilling import backfilling
from dicomnode.web.feed import Pulse, feed
from dicomnode.web.jobs import jobs
from dicomnode.web.pages import pages
from dicomnode.web.protecting import Protecting
from dicomnode.web.rendering import page
from dicomnode.web.room import Room
from dicomnode.web.session import session
from dicomnode.web.signing_in import asked
from dicomnode.web.stats import stats
from dicomnode.web.studies import studies
from dicomnode.web.watching import watching

_log = structlog.get_logger(__name__)
_STATUS = {UnknownStudy: 404, IllegalTransition: 409, WorklistError: 503}
COOKIE = "dicomnode_session"


def create(
    room: Room,
    secret: str,
    *,
    session_seconds: int,
    https: bool = False,
    stopping: Callable[[], bool] = lambda: False,
) -> FastAPI:
    """The application over ``room``; ``secret`` signs the sessions.

    ``https``: it is reached by https only, so the cookie must not travel otherwise.
    ``stopping``: whether live pages are to be let go.
    """
    app = FastAPI(
        title="dicomnode",
        version=VERSION,
        description="Research use only.",
        openapi_url="/api/v1/openapi.json",
        docs_url=None,
        redoc_url=None,
    )
    app.state.room, app.state.readers = room, set()
    app.state.stopping, app.state.pulse = stopping, Pulse()
    # The acts before the studies, whose last route takes any act that is not purge.
    shown = (pages, jobs, stats, backfilling, acts, studies, session)
    for router in (*shown, feed, watching, api):
        app.include_router(router)
    static = Path(__file__).with_name("static")
    app.mount("/static", StaticFiles(directory=static), name="static")
    app.add_middleware(
        SessionMiddleware,
        secret_key=secret,
        session_cookie=COOKIE,
        max_age=session_seconds,
        same_site="strict",
        https_only=https,
    )
    app.add_middleware(Protecting)
    _answer_errors(app)
    return app


def _answer_errors(app: FastAPI) -> None:
    app.add_exception_handler(HTTPException, _refused)
    app.add_exception_handler(RequestValidationError, _unreadable)
    app.add_exception_handler(DicomNodeError, _failed)
    app.add_exception_handler(Exception, _broken)


def _refused(request: Request, error: Any) -> Response:
    if error.status_code == 401 and _is_page(request):  # noqa: PLR2004
        return RedirectResponse("/sign-in", 303)
    answer = _said(request, error.status_code, str(error.detail))
    answer.headers.update(error.headers or {})
    return answer


def _unreadable(request: Request, error: Any) -> Response:
    places = ", ".join(str(one["loc"][-1]) for one in error.errors())
    return _said(request, 422, f"this value cannot be read: {places}; correct it")


def _failed(request: Request, error: Any) -> Response:
    kinds = [kind for kind in _STATUS if isinstance(error, kind)]
    return _said(request, _STATUS[kinds[0]] if kinds else 500, str(error))


def _broken(request: Request, error: Any) -> Response:
    _log.error("web.failed", exc_info=error)
    message = "an error of the program; the log has it, report it with a support bundle"
    return _said(request, 500, message)


def _is_page(request: Request) -> bool:
    return not request.url.path.startswith(("/api/", "/events", "/metrics"))


def _said(request: Request, status: int, message: str) -> Response:
    if not _is_page(request):
        return JSONResponse({"error": message}, status)
    room: Room = request.app.state.room
    account = asked(request, room)
    return page(request, room, account, "error.html", status, message=message)
