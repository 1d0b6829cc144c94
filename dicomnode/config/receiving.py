"""The tables of who may send to us, and how much."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from dicomnode.config.encrypting import Called
from dicomnode.config.section import Section
from dicomnode.config.values import (
    AETitle,
    Count,
    Host,
    OptionalFile,
    PeerHost,
    Port,
    Seconds,
    WorkingHours,
)


class Tls(Section):
    """``[receiver.tls]``: the second, encrypted port (PS3.15 B.12).

    ``required``: the only port.
    """

    enabled: bool = False
    required: bool = False
    port: Port = 2762
    certificate: OptionalFile = None
    private_key: OptionalFile = None
    client_ca: OptionalFile = None

    @model_validator(mode="after")
    def _has_its_files(self) -> Tls:
        if self.enabled and not (self.certificate and self.private_key):
            message = (
                "is enabled without certificate and private_key; name both PEM files, "
                "or set enabled = false"
            )
            raise ValueError(message)
        return self

    @model_validator(mode="after")
    def _leaves_a_port(self) -> Tls:
        if self.required and not self.enabled:
            message = (
                "is required and not enabled, so no port would be left; set "
                "enabled = true"
            )
            raise ValueError(message)
        return self


class Receiver(Section):
    """``[receiver]``: the C-STORE and C-ECHO SCP."""

    host: Host = "0.0.0.0"  # noqa: S104  # a receiver that no modality reaches is none
    port: Port = 11112
    processes: Count = 1
    max_associations: Count = 64
    require_called_ae_title: bool = True
    unknown_peers: Literal["refuse", "accept"] = "refuse"
    max_pdu_bytes: Annotated[int, Field(ge=4096, le=4 * 1024**2)] = 262144
    network_timeout_seconds: Seconds = 60
    request_timeout_seconds: Seconds = 5
    max_association_seconds: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 86400
    max_waiting_jobs: Annotated[int, Field(ge=0)] = 0
    max_connections: Count = 512
    max_connections_per_address: Count = 64
    max_instance_bytes: Count = 4 * 1024**3
    max_association_bytes: Count = 1024**4
    quarantine: bool = False
    storage_commitment: bool = True
    tls: Tls = Tls()


class Peer(Called):
    """``[[peer]]``: who may talk to us, and from which addresses.

    ``port`` 0: it takes no associations from us. ``tls``: those that it takes.
    ``silent_after_minutes`` 0: it may be silent as long as it likes.
    """

    ae_title: AETitle
    hosts: Annotated[tuple[PeerHost, ...], Field(min_length=1)]
    port: Port = 0
    services: Annotated[
        tuple[Literal["store", "echo", "commitment"], ...], Field(min_length=1)
    ] = ("store", "echo", "commitment")
    max_associations: Annotated[int, Field(ge=0)] = 0
    silent_after_minutes: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0
    silent_hours: WorkingHours = ""

    @model_validator(mode="after")
    def _is_called_when_told_how(self) -> Peer:
        if self.tls and not self.port:
            message = (
                "has tls = true and port = 0, so it is never called; name the port "
                "where it takes answers to storage commitment, or remove tls"
            )
            raise ValueError(message)
        return self
