"""A part of a bucket in an S3-compatible object store; the only module with botocore.

Every object is written by one PutObject, which S3 makes visible as a whole or not at
all: there is never a part of an object, and no multipart upload to abort.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import tempfile
import time
from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, suppress
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, Final, TypeVar

from botocore.config import Config as ClientConfig
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectionError,  # noqa: A004  # botocore's, not an OSError
    HTTPClientError,
    IncompleteReadError,
)
from botocore.session import Session

from dicomnode.errors import StoreUnreachable

_Answer = TypeVar("_Answer")

_FIRST_DELAY_SECONDS = 0.1
_LONGEST_DELAY_SECONDS = 2.0
_ATTEMPTS_IN_TIME = 3
_CONNECTIONS = 64
_CONTENT: Final = "data-set-sha256"
_SERVER_ERROR = 500
_PASSING = {408, 409, 425, 429}
_SPOILT_ON_THE_WAY = {"BadDigest", "IncompleteBody", "RequestTimeout"}
_MISSING = {"404", "NoSuchKey", "NotFound"}
_EXISTS = {"412", "PreconditionFailed"}
_UNCONDITIONAL = {"501", "NotImplemented"}


@dataclass(frozen=True, slots=True)
class Place:
    """Where: a bucket, a prefix in it, and the server.

    ``endpoint`` "" is AWS; ``ca`` a PEM file to trust instead of the system's; TLS is
    always verified. ``credentials`` is a shared credentials file; without it the usual
    chain holds: AWS_ACCESS_KEY_ID and so on, web identity, the role of the machine.
    ``timeout_seconds`` bounds one operation with all its attempts.
    """

    bucket: str
    prefix: str
    endpoint: str = ""
    region: str = ""
    ca: Path | None = None
    credentials: Path | None = None
    timeout_seconds: float = 30.0


@dataclass(frozen=True, slots=True)
class ObjectFacts:
    """Of one object: its name below the prefix, bytes in all, and when it came."""

    name: str
    n_bytes: int
    written_at: datetime


class Bucket:
    """Put, get, list and delete below one prefix; safe for many threads.

    Everything raises StoreUnreachable once ``timeout_seconds`` are over, or at once
    for what does not pass by itself.
    """

    def __init__(
        self, place: Place, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        self._place = place
        self._sleep = sleep
        self._client: Any = _client(place)
        self._is_conditional = True

    def put(self, name: str, fd: int, content: str) -> None:
        """Have the whole file stored under ``name``, proven by its MD5.

        ``content``: what an object of this name must hold, the SHA-256 of its data
        set; one that is there already is left alone, unless it is another.
        """
        with os.fdopen(os.dup(fd), "rb") as file:
            file.seek(0)
            digest = hashlib.file_digest(
                file, partial(hashlib.md5, usedforsecurity=False)
            )
            self._persistently(lambda: self._put(name, file, digest.digest(), content))

    def get(self, name: str, take: Callable[[BinaryIO], _Answer]) -> _Answer:
        """What ``take`` makes of the object, called anew when a transfer breaks.

        Raises FileNotFoundError.
        """

        def read() -> _Answer:
            answer = self._client.get_object(**self._named(name))
            with closing(answer["Body"]) as body:
                return take(body)

        return self._present(name, read)

    def head(self, name: str, n_bytes: int) -> tuple[bytes, ObjectFacts]:
        """The first ``n_bytes`` of an object, and its facts; FileNotFoundError."""

        def read() -> tuple[bytes, ObjectFacts]:
            span = f"bytes=0-{n_bytes - 1}"
            answer = self._client.get_object(**self._named(name), Range=span)
            with closing(answer["Body"]) as body:
                first = body.read(n_bytes)
            # Content-Range: bytes 0-143/5242
            whole = answer.get("ContentRange", "").rpartition("/")[2]
            size = int(whole or answer["ContentLength"])
            return first, ObjectFacts(name, size, answer["LastModified"])

        return self._present(name, read)

    def delete(self, name: str) -> None:
        """Remove an object; no error if there is none."""
        with suppress(_Missing):
            self._persistently(lambda: self._client.delete_object(**self._named(name)))

    def objects(self, below: str = "") -> Iterator[ObjectFacts]:
        """All objects whose names begin with ``below``, in pages of a thousand."""
        token: Mapping[str, str] = {}
        start = self._key("")
        while True:
            page = self._persistently(
                partial(
                    self._client.list_objects_v2,
                    Bucket=self._place.bucket,
                    Prefix=start + below,
                    **token,
                )
            )
            for one in page.get("Contents", ()):
                name = one["Key"].removeprefix(start)
                yield ObjectFacts(name, one["Size"], one["LastModified"])
            if not page.get("IsTruncated"):
                return
            token = {"ContinuationToken": page["NextContinuationToken"]}

    def probe(self) -> None:
        """Put, read and remove an object of no content; StoreUnreachable if one fails.

        It has no name of an instance.
        """
        name = f"probe/{secrets.token_hex(8)}"
        with tempfile.TemporaryFile() as file:
            self.put(name, file.fileno(), "")
        self.get(name, lambda body: body.read())
        self.delete(name)
        next(iter(self.objects()), None)

    def _put(self, name: str, file: BinaryIO, md5: bytes, content: str) -> None:
        once = {"IfNoneMatch": "*"} if self._is_conditional else {}
        try:
            self._send(name, file, md5, content, once)
        except ClientError as error:
            code = _code(error)
            if code in _UNCONDITIONAL and once:
                self._is_conditional = False
            elif code not in _EXISTS:
                raise
            elif self._holds(name, md5, content):
                return
            # Not what it should be, or no conditions here: its name is its content, so
            # it can be replaced by nothing else.
            self._send(name, file, md5, content, {})

    def _send(
        self,
        name: str,
        file: BinaryIO,
        md5: bytes,
        content: str,
        once: Mapping[str, str],
    ) -> None:
        file.seek(0)
        answer = self._client.put_object(
            **self._named(name),
            **once,
            Body=file,
            ContentMD5=b64encode(md5).decode(),
            ContentType="application/dicom",
            Metadata={_CONTENT: content},
        )
        if not _is_stored(answer, md5):
            raise _Spoilt

    def _holds(self, name: str, md5: bytes, content: str) -> bool:
        """Whether what is there is known to be what was to be put."""
        try:
            found = self._client.head_object(**self._named(name))
        except ClientError as error:
            if _code(error) in _MISSING:
                return False
            raise
        said = found.get("Metadata", {}).get(_CONTENT)
        return said == content and _is_stored(found, md5)

    def _present(self, name: str, read: Callable[[], _Answer]) -> _Answer:
        try:
            return self._persistently(read)
        except _Missing:
            raise FileNotFoundError(name) from None

    def _persistently(self, act: Callable[[], _Answer]) -> _Answer:
        # The last attempt begins while there is time for it.
        in_time = self._place.timeout_seconds * (1 - 1 / _ATTEMPTS_IN_TIME)
        until = time.monotonic() + in_time
        delay = _FIRST_DELAY_SECONDS
        while True:
            try:
                return act()
            except (BotoCoreError, ClientError, _Spoilt) as error:
                if _code(error) in _MISSING:
                    raise _Missing from error
                if not _passes(error) or time.monotonic() + delay >= until:
                    raise self._unreachable(error) from error
            self._sleep(delay)
            delay = min(2 * delay, _LONGEST_DELAY_SECONDS)

    def _unreachable(self, error: Exception) -> StoreUnreachable:
        what = _code(error) or type(error).__name__
        remedy = "check the bucket, its policy and the credentials"
        if isinstance(error, _BROKEN):
            remedy = "check store.endpoint, store.ca and the network"
        message = f"the object store {self._place.bucket} failed ({what})"
        return StoreUnreachable(f"{message}; {remedy}, then see `dicomnode doctor`")

    def _named(self, name: str) -> Mapping[str, str]:
        return {"Bucket": self._place.bucket, "Key": self._key(name)}

    def _key(self, name: str) -> str:
        return f"{self._place.prefix}/{name}" if self._place.prefix else name


class _Missing(Exception):
    """There is no such object."""


class _Spoilt(Exception):
    """The server says that it has stored other bytes than were sent."""


_BROKEN = (ConnectionError, HTTPClientError, IncompleteReadError, _Spoilt)


def _client(place: Place) -> Any:  # botocore makes it at run time
    session = Session()
    if place.credentials is not None:
        session.set_config_variable("credentials_file", str(place.credentials))
    attempt = place.timeout_seconds / _ATTEMPTS_IN_TIME
    return session.create_client(
        "s3",
        endpoint_url=place.endpoint or None,
        region_name=place.region or None,
        verify=str(place.ca) if place.ca else None,
        config=ClientConfig(
            connect_timeout=attempt,
            read_timeout=attempt,
            max_pool_connections=_CONNECTIONS,
            # We try again ourselves, until a time is over and not a number of times.
            retries={"total_max_attempts": 1},
            s3={"addressing_style": "path" if place.endpoint else "auto"},
            # Content-MD5 is understood by every server, the newer checksums are not.
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
        ),
    )


def _is_stored(answer: Mapping[str, Any], md5: bytes) -> bool:
    """Whether the server names the digest of what was sent.

    Encrypted by a key of KMS the ETag is no MD5; there Content-MD5 must do.
    """
    kms = str(answer.get("ServerSideEncryption", "")).startswith("aws:kms")
    return kms or str(answer.get("ETag", "")).strip('"') == md5.hex()


def _code(error: Exception) -> str:
    """How S3 calls what went wrong; empty for what is not from S3."""
    if isinstance(error, ClientError):
        return str(error.response.get("Error", {}).get("Code", ""))
    return ""


def _passes(error: Exception) -> bool:
    """Whether it may be well in a moment."""
    if not isinstance(error, ClientError):
        return isinstance(error, _BROKEN)
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    return (
        status >= _SERVER_ERROR
        or status in _PASSING
        or _code(error) in _SPOILT_ON_THE_WAY
    )
