"""Who may do what: accounts with roles, passwords by scrypt, tokens for programs."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from base64 import b64decode, b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum

# RFC 7914; about 50 ms and 16 MiB for each attempt.
_COST, _BLOCK_SIZE, _PARALLEL, _LENGTH = 2**14, 8, 1, 32
_TOKEN_BYTES = 32


class Role(IntEnum):
    """Each may do what those below may."""

    NONE = 0
    VIEWER = 1
    """Reads every page; patient identity only with ``phi``."""
    OPERATOR = 2
    """Retries, cancels, holds, sends again."""
    ADMIN = 3
    """Purges, and reads the audit trail."""


@dataclass(frozen=True, slots=True)
class Account:
    """``secret`` is what ``hashed`` made of a password, or of a token of a program."""

    name: str
    role: Role
    secret: str = ""
    phi: bool = False


@dataclass(frozen=True, slots=True)
class Accounts:
    """The accounts of a site, and what someone without one may.

    ``proxy_header`` names the header in which a proxy at one of ``proxy_hosts`` says
    who has signed in there; empty: there is none.
    """

    known: Mapping[str, Account] = field(default_factory=dict)
    anonymous: Role = Role.VIEWER
    proxy_header: str = ""
    proxy_hosts: frozenset[str] = frozenset()

    def by_password(self, name: str, password: str) -> Account | None:
        """The account, when the password is right."""
        account = self.known.get(name)
        # An unknown name takes as long as a wrong password.
        right = matches(password, account.secret if account else _NOBODY)
        return account if right else None

    def nobody(self) -> Account:
        """Who has not signed in."""
        return Account("", self.anonymous)


def hashed(password: str) -> str:
    """``scrypt:SALT:KEY`` in base64, for ``[[account]] secret``."""
    salt = secrets.token_bytes(16)
    return f"scrypt:{_text(salt)}:{_text(_key(password, salt))}"


def matches(password: str, secret: str) -> bool:
    """Whether ``hashed`` could have made ``secret`` of this password."""
    kind, _, rest = secret.partition(":")
    salt, _, key = rest.partition(":")
    if kind != "scrypt":
        return False
    return hmac.compare_digest(_key(password, b64decode(salt)), b64decode(key))


def new_token() -> str:
    """A secret that nobody guesses and nobody has to remember."""
    return secrets.token_urlsafe(_TOKEN_BYTES)


def _key(password: str, salt: bytes) -> bytes:
    return hashlib.scrypt(
        password.encode(),
        salt=salt,
        n=_COST,
        r=_BLOCK_SIZE,
        p=_PARALLEL,
        dklen=_LENGTH,
    )


def _text(raw: bytes) -> str:
    return b64encode(raw).decode("ascii")


_NOBODY = f"scrypt:{_text(bytes(16))}:{_text(bytes(_LENGTH))}"
