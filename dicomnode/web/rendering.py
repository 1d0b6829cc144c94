"""Templates to pages: escaped always, in the reader's language and zone."""

from __future__ import annotations

from datetime import datetime
from functools import cache, partial
from typing import Any

from fastapi import Request
from fastapi.responses import HTMLResponse
from jinja2 import Environment, PackageLoader, StrictUndefined, pass_context
from jinja2.runtime import Context

from dicomnode.health.moments import age, moment
from dicomnode.version import VERSION
from dicomnode.web.access import Account, Role
from dicomnode.web.language import LANGUAGES, chosen, said
from dicomnode.web.room import Room
from dicomnode.web.signing_in import form_token

_MARKS = {
    "FAILED": ("✖", "bad"),
    "REJECTED": ("✖", "bad"),
    "NOT_ANALYSED": ("◌", "warn"),
    "NOT_ROUTED": ("◌", "warn"),
    "CANCELED": ("⊘", "quiet"),
    "SCHEDULED": ("○", "quiet"),
    "PENDING": ("○", "quiet"),
    "RECEIVING": ("↓", "busy"),
    "IN_PROGRESS": ("◐", "busy"),
    "COMPLETE": ("●", "busy"),
    "ROUTED": ("→", "busy"),
    "COMPLETED": ("✔", "good"),
    "ANALYSED": ("✔", "good"),
    "SENT": ("✔", "good"),
    "COMMITTED": ("✔", "good"),
}


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("dicomnode.web"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(age=_age, local=_local, mark=_mark)
    return environment


@pass_context
def _age(context: Context, at: object) -> str:
    return age(at, context["now"]) if at else ""


def _local(at: object) -> str:
    """A time of the views on the clock of this machine, with its zone."""
    return f"{moment(at).astimezone():%Y-%m-%d %H:%M:%S %Z}" if at else ""


def _mark(state: str | None) -> tuple[str, str]:
    """The sign and the colour class of a state: never colour alone (WCAG 1.4.1)."""
    return _MARKS.get(state or "", ("·", "quiet"))


def page(
    request: Request,
    room: Room,
    account: Account,
    template: str,
    status: int = 200,
    **values: Any,
) -> HTMLResponse:
    """The page that ``template`` makes of ``values``."""
    language = chosen(request)
    now: datetime = room.clock.now()
    text = (
        _environment()
        .get_template(template)
        .render(
            _=partial(said, language),
            account=account,
            csrf=form_token(request.session),
            language=language,
            languages=LANGUAGES,
            may_act=account.role >= Role.OPERATOR,
            may_administer=account.role >= Role.ADMIN,
            now=now,
            path=request.url.path,
            site=room.site,
            version=VERSION,
            **values,
        )
    )
    return HTMLResponse(text, status)
