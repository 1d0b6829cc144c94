"""Who asks: by session, by token, or by the word of a proxy; and that they meant it."""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Callable
from typing import Annotated, Any

from fastapi import Depends, Form, HTTPException, Request

from dicomnode.web.access import Account, Accounts, Role
from dicomnode.web.addresses import address_of, is_local, peer_of
from dicomnode.web.attempts import TooMany
from dicomnode.web.room import InRoom, Room, Who

MOST_NAME = 64
_TOKEN = "csrf"  # noqa: S105  # the name of a field


def asking(request: Request, room: InRoom) -> Account:
    """The account behind a request; one without role when there is none."""
    accounts = room.accounts
    found = _by_proxy(request, accounts) or _by_token(request, room)
    if found is None:
        found = accounts.known.get(str(request.session.get("account", "")))
    request.state.account = found or accounts.nobody()
    return found or accounts.nobody()


def asked(request: Request, room: Room) -> Account:
    """Whom ``asking`` has found, for the page of an error; nothing is checked again."""
    found: Account = getattr(request.state, "account", room.accounts.nobody())
    return found


def _by_proxy(request: Request, accounts: Accounts) -> Account | None:
    name = request.headers.get(accounts.proxy_header) if accounts.proxy_header else None
    if not name or peer_of(request) not in accounts.proxy_hosts:
        return None
    return accounts.known.get(name)


def _by_token(request: Request, room: Room) -> Account | None:
    kind, _, token = request.headers.get("Authorization", "").partition(" ")
    if kind.lower() != "bearer":
        return None
    name, _, secret = token.strip().partition(":")
    return by_secret(request, room, name[:MOST_NAME], secret)


def by_secret(request: Request, room: Room, name: str, secret: str) -> Account | None:
    """The account whose password or token this is; every failure is audited.

    Raises HTTPException 429 while somebody has guessed too often.
    """
    accounts, asks = room.accounts, Who(name, address_of(request))
    try:
        found, wait = room.attempts.check(
            name,
            asks.address,
            accounts.known,
            lambda: accounts.by_password(name, secret),
            local=is_local(request),
        )
    except TooMany as error:
        if not error.told:
            room.witness.signed_in(asks, str(error))
        again = {"Retry-After": str(error.seconds)}
        raise HTTPException(429, str(error), again) from None
    if found is None:
        after = f"; the next attempt is refused for {wait:.0f} s" if wait else ""
        room.witness.signed_in(asks, f"wrong name or secret{after}")
    return found


Asking = Annotated[Account, Depends(asking)]


def who(request: Request, account: Asking) -> Who:
    """Who asks, for events and the audit trail."""
    return Who(account.name or "anonymous", address_of(request))


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
    if not expected or not hmac.compare_digest(expected.encode(), csrf.encode()):
        raise HTTPException(403, "the form is too old; load the page again")


Meant = Depends(meant)
