"""Who asks: by session, by token, or by the word of a proxy; and that they meant it."""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Callable
from typing import Annotated, Any

from fastapi import Depends, Form, HTTPException, Request

from dicomnode.web.access import Account, Accounts, Role
from dicomnode.web.room import InRoom, Who

_TOKEN = "csrf"  # noqa: S105  # the name of a field


def asking(request: Request, room: InRoom) -> Account:
    """The account behind a request; one without role when there is none."""
    accounts = room.accounts
    found = _by_proxy(request, accounts) or _by_token(request, accounts)
    if found is None:
        found = accounts.known.get(str(request.session.get("account", "")))
    return found or accounts.nobody()


def _by_proxy(request: Request, accounts: Accounts) -> Account | None:
    name = request.headers.get(accounts.proxy_header) if accounts.proxy_header else None
    client = request.client.host if request.client else ""
    if not name or client not in accounts.proxy_hosts:
        return None
    return accounts.known.get(name)


def _by_token(request: Request, accounts: Accounts) -> Account | None:
    kind, _, token = request.headers.get("Authorization", "").partition(" ")
    return accounts.by_token(token.strip()) if kind.lower() == "bearer" else None


Asking = Annotated[Account, Depends(asking)]


def who(request: Request, account: Asking) -> Who:
    """Who asks, for events and the audit trail."""
    address = request.client.host if request.client else ""
    return Who(account.name or "anonymous", address)


InPerson = Annotated[Who, Depends(who)]


def at_least(role: Role) -> Callable[[Request, Account], Account]:
    """A dependency that lets only accounts with ``role`` or more pass."""

    def check(request: Request, account: Asking) -> Account:
        if account.role >= role:
            return account
        if not account.name and "Authorization" not in request.headers:
            raise HTTPException(401, "sign in first")
        detail = f"{account.name or 'this token'} may not do this; ask an admin of it"
        raise HTTPException(403, detail)

    return check


Viewer = Annotated[Account, Depends(at_least(Role.VIEWER))]
Operator = Annotated[Account, Depends(at_least(Role.OPERATOR))]
Admin = Annotated[Account, Depends(at_least(Role.ADMIN))]


def form_token(session: dict[str, Any]) -> str:
    """The secret that every form of this session carries."""
    token: str = session.setdefault(_TOKEN, secrets.token_urlsafe(16))
    return token


def meant(request: Request, csrf: Annotated[str, Form()] = "") -> None:
    """Refuse a form that another site's page has sent (cross-site request forgery)."""
    expected = str(request.session.get(_TOKEN, ""))
    if not expected or not hmac.compare_digest(expected, csrf):
        raise HTTPException(403, "the form is too old; load the page again")


Meant = Depends(meant)
