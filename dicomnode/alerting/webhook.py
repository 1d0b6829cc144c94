"""Alerts by webhook: one POST of JSON, signed by HMAC-SHA256 (RFC 2104)."""

from __future__ import annotations

import hashlib
import hmac
import http.client
import json
import ssl
from contextlib import closing
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from urllib.parse import urlsplit

from dicomnode.alerting import message
from dicomnode.alerting.message import Origin
from dicomnode.errors import AlertError
from dicomnode.health.digest import Digest
from dicomnode.version import VERSION

_GOOD = range(200, 300)


@dataclass(frozen=True, slots=True)
class Hook:
    """Where to post; ``url`` may hold a token, ``secret`` empty signs nothing."""

    url: str = field(repr=False)
    secret: str = field(default="", repr=False)
    ca: Path | None = None
    timeout_seconds: float = 10.0


class WebhookChannel:
    """Posts each digest; redirects are not followed."""

    name = "webhook"

    def __init__(self, hook: Hook, origin: Origin) -> None:
        self._hook = hook
        self._origin = origin
        self._parts = urlsplit(hook.url)

    def send(self, digest: Digest, now: datetime) -> None:
        """Post it; raises AlertError."""
        record = message.record(self._origin, digest, now)
        body = json.dumps(record, ensure_ascii=False).encode()
        try:
            with closing(self._connection()) as connection:
                target = self._parts._replace(scheme="", netloc="", fragment="")
                headers = self._headers(body, now)
                connection.request("POST", target.geturl() or "/", body, headers)
                status = connection.getresponse().status
        except (http.client.HTTPException, OSError) as error:
            raise self._failed(str(error) or type(error).__name__) from error
        if status not in _GOOD:
            raise self._failed(f"it answers {status}")

    def _connection(self) -> http.client.HTTPConnection:
        host, seconds = self._parts.hostname or "", self._hook.timeout_seconds
        if self._parts.scheme == "http":
            return http.client.HTTPConnection(host, self._parts.port, timeout=seconds)
        context = ssl.create_default_context(cafile=self._hook.ca)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        return http.client.HTTPSConnection(
            host, self._parts.port, timeout=seconds, context=context
        )

    def _headers(self, body: bytes, now: datetime) -> dict[str, str]:
        headers = {
            "Content-Type": "application/json",
            "User-Agent": f"dicomnode/{VERSION}",
        }
        if self._hook.secret:
            # The time is signed too, so that nobody can play an old alert again.
            stamp = str(int(now.timestamp()))
            headers["X-Dicomnode-Timestamp"] = stamp
            headers["X-Dicomnode-Signature"] = signature(self._hook.secret, stamp, body)
        return headers

    def _failed(self, why: str) -> AlertError:
        remedy = "check [alert.webhook] with `dicomnode alert test`"
        return AlertError(f"{self._parts.hostname} takes no alert ({why}); {remedy}")


def signature(secret: str, timestamp: str, body: bytes) -> str:
    """``sha256=HEX`` of the timestamp, a dot and the body."""
    signed = timestamp.encode() + b"." + body
    return f"sha256={hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest()}"
