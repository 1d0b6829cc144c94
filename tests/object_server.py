"""A real S3 server on the loopback (moto's), and a proxy that spoils the way to it."""

from __future__ import annotations

import logging
import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from copy import copy
from dataclasses import dataclass

import pytest

from dicomnode.store.bucket import Bucket, Place

CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "tests",
    "AWS_SECRET_ACCESS_KEY": "no secret",
    # No metadata service is asked, whatever machine this is.
    "AWS_EC2_METADATA_DISABLED": "true",
    "AWS_CONFIG_FILE": os.devnull,
    "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
}
SECONDS = 20.0


@dataclass(frozen=True)
class ObjectServer:
    """Where it listens; ``bucket`` has a client, which is costly to make."""

    port: int
    bucket: Bucket

    @classmethod
    @contextmanager
    def running(cls) -> Iterator[ObjectServer]:
        """One that is gone at the end, with all that was stored."""
        from moto.server import ThreadedMotoServer

        logging.getLogger("werkzeug").setLevel(logging.ERROR)
        server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
        server.start()
        with pytest.MonkeyPatch.context() as patch:
            for name, value in CREDENTIALS.items():
                patch.setenv(name, value)
            port = server.get_host_and_port()[1]
            yield cls(port, Bucket(Place("", "", f"http://127.0.0.1:{port}")))
        server.stop()

    @property
    def endpoint(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self.port}"

    def new_place(self) -> Place:
        """A prefix in an empty bucket."""
        name = f"b-{uuid.uuid4().hex}"
        self.bucket._client.create_bucket(Bucket=name)
        return Place(name, "node/instances", self.endpoint, timeout_seconds=SECONDS)

    def new_bucket(self) -> Bucket:
        """The same, opened."""
        return self.opened(self.new_place())

    def opened(self, place: Place) -> Bucket:
        """With the client that is there already."""
        made = copy(self.bucket)
        made._place = place
        return made
