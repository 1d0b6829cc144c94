"""The tables of the pages and of who may sign in to them."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, SecretStr, model_validator

from dicomnode.config.section import Section
from dicomnode.config.values import (
    HASHED,
    Count,
    Host,
    Name,
    Port,
    Seconds,
    is_loopback,
)

RoleName = Literal["viewer", "operator", "admin"]


def _hashed(secret: SecretStr) -> SecretStr:
    if not HASHED.fullmatch(secret.get_secret_value()):
        message = "is no hashed password; `dicomnode account NAME` makes one"
        raise ValueError(message)
    return secret


class Web(Section):
    """``[web]``: the pages, the API and the metrics.

    ``secret`` signs the sessions; empty: another at each start. ``https``: a proxy ends
    TLS before it.
    """

    enabled: bool = True
    host: Host = "127.0.0.1"
    port: Port = 8080
    anonymous: RoleName | Literal["none"] = "viewer"
    proxy_header: str = ""
    proxy_hosts: tuple[Host, ...] = ("127.0.0.1", "::1")
    secret: SecretStr = SecretStr("")
    session_hours: Annotated[float, Field(gt=0, le=168)] = 8
    https: bool = False
    metrics: Literal["loopback", "account", "anyone"] = "loopback"
    max_streams: Count = 100
    max_connections: Count = 500
    timeout_seconds: Seconds = 30

    @model_validator(mode="after")
    def _leaves_room_for_pages(self) -> Web:
        if self.max_streams >= self.max_connections:
            message = (
                "would let live pages take every connection; set max_streams below "
                f"max_connections ({self.max_connections})"
            )
            raise ValueError(message)
        return self

    @model_validator(mode="after")
    def _closed_to_strangers(self) -> Web:
        if self.enabled and self.anonymous != "none" and not is_loopback(self.host):
            message = (
                f"listens on {self.host} and lets in whoever comes; set anonymous = "
                '"none" and add an [[account]], or set host = "127.0.0.1"'
            )
            raise ValueError(message)
        return self


class Account(Section):
    """``[[account]]``: who may sign in; `dicomnode account` makes the table."""

    name: Name
    role: RoleName = "viewer"
    phi: bool = False
    secret: Annotated[SecretStr, AfterValidator(_hashed)]
