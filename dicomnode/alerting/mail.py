"""Alerts by mail: SMTP (RFC 5321), with STARTTLS (RFC 3207) or TLS from the start."""

from __future__ import annotations

import smtplib
import ssl
from dataclasses import dataclass, field
from datetime import datetime
from email.message import EmailMessage
from email.utils import format_datetime, make_msgid
from pathlib import Path
from typing import Literal

from dicomnode.alerting import message
from dicomnode.alerting.message import Origin
from dicomnode.errors import AlertError
from dicomnode.health.digest import Digest


@dataclass(frozen=True, slots=True)
class Relay:
    """The mail server; ``ca`` None: trust the authorities of the system."""

    host: str
    port: int
    encryption: Literal["starttls", "tls", "none"] = "starttls"
    ca: Path | None = None
    user: str = ""
    password: str = field(default="", repr=False)
    timeout_seconds: float = 10.0


class MailChannel:
    """Sends each digest as one mail."""

    name = "mail"

    def __init__(
        self, relay: Relay, sender: str, recipients: tuple[str, ...], origin: Origin
    ) -> None:
        self._relay = relay
        self._sender = sender
        self._recipients = recipients
        self._origin = origin

    def send(self, digest: Digest, now: datetime) -> None:
        """Send it; raises AlertError."""
        relay = self._relay
        try:
            with _connected(relay) as connection:
                if relay.user:
                    connection.login(relay.user, relay.password)
                connection.send_message(self._mail(digest, now))
        except smtplib.SMTPAuthenticationError as error:
            what = f"the mail server {relay.host} refuses {relay.user}"
            remedy = "check alert.mail.user and its password"
            raise AlertError(f"{what} ({error.smtp_code}); {remedy}") from error
        except (smtplib.SMTPException, OSError) as error:
            what = f"the mail server {relay.host}:{relay.port} takes no alert"
            why = type(error).__name__ if not str(error) else str(error)
            remedy = "check [alert.mail] with `dicomnode alert test`"
            raise AlertError(f"{what} ({why}); {remedy}") from error

    def _mail(self, digest: Digest, now: datetime) -> EmailMessage:
        mail = EmailMessage()
        mail["Subject"] = message.subject(self._origin, digest)
        mail["From"] = self._sender
        mail["To"] = ", ".join(self._recipients)
        mail["Date"] = format_datetime(now)
        mail["Message-ID"] = make_msgid(domain=self._origin.host)
        # RFC 3834: no absence notice shall answer.
        mail["Auto-Submitted"] = "auto-generated"
        mail.set_content(message.text(self._origin, digest, now))
        return mail


def _connected(relay: Relay) -> smtplib.SMTP:
    context = ssl.create_default_context(cafile=relay.ca)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    address, seconds = (relay.host, relay.port), relay.timeout_seconds
    if relay.encryption == "tls":
        return smtplib.SMTP_SSL(*address, timeout=seconds, context=context)
    connection = smtplib.SMTP(*address, timeout=seconds)
    if relay.encryption == "starttls":
        try:
            connection.starttls(context=context)
        except OSError:
            connection.close()
            raise
    return connection
