"""The tables of who is told when something is wrong."""

from __future__ import annotations

from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, SecretStr, model_validator

from dicomnode.config.section import Section
from dicomnode.config.values import (
    OptionalFile,
    OptionalHost,
    Percent,
    RemotePort,
    Seconds,
    is_loopback,
)

Minutes = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]


def _mail_address(text: str) -> str:
    local, _, domain = text.partition("@")
    plain = text.isascii() and text.isprintable() and not set(text) & set(" ,;<>")
    if not (local and domain and plain):
        raise ValueError("is no mail address; write for example pacs-team@hospital.org")
    return text


def _sender(text: str) -> str:
    return text and _mail_address(text)


def _web_address(secret: SecretStr) -> SecretStr:
    # It may hold a token, so no message repeats it.
    parts = urlsplit(secret.get_secret_value())
    if not secret.get_secret_value():
        return secret
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.username:
        raise ValueError("is no address to post to; write https://host/path")
    if parts.scheme == "http" and not is_loopback(parts.hostname):
        raise ValueError("goes in the clear to another machine; write https://")
    return secret


class Mail(Section):
    """``[alert.mail]``: no host, no mail."""

    host: OptionalHost = ""
    port: RemotePort = 587
    encryption: Literal["starttls", "tls", "none"] = "starttls"
    ca: OptionalFile = None
    user: str = ""
    password: SecretStr = SecretStr("")
    sender: Annotated[str, AfterValidator(_sender)] = ""
    recipients: tuple[Annotated[str, AfterValidator(_mail_address)], ...] = ()
    timeout_seconds: Seconds = 10

    @model_validator(mode="after")
    def _reaches_someone(self) -> Mail:
        if self.host and not (self.sender and self.recipients):
            message = (
                "has a host without sender and recipients; name both, or remove host"
            )
            raise ValueError(message)
        return self

    @model_validator(mode="after")
    def _hides_its_password(self) -> Mail:
        clear = self.encryption == "none" and not is_loopback(self.host)
        if self.host and self.user and clear:
            message = (
                f"would send its password in the clear to {self.host}; set encryption "
                'to "starttls" or "tls", or remove user'
            )
            raise ValueError(message)
        return self


class Webhook(Section):
    """``[alert.webhook]``: no url, no post. ``secret`` signs what is posted."""

    url: Annotated[SecretStr, AfterValidator(_web_address)] = SecretStr("")
    secret: SecretStr = SecretStr("")
    ca: OptionalFile = None
    timeout_seconds: Seconds = 10


class Alert(Section):
    """``[alert]``: what is an alarm, and how often it is told."""

    interval_seconds: Seconds = 60
    digest_minutes: NotNegative = 15
    remind_hours: NotNegative = 24
    destination_down_minutes: Minutes = 30
    disk_percent: Percent = 85
    certificate_days: NotNegative = 21
    mail: Mail = Mail()
    webhook: Webhook = Webhook()
